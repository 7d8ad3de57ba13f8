"""What operators granted to platforms, and how much of it each used today.

A platform's word makes money: how much in a day, and up to where its `verified` counts, is not its own to say.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import msgspec

from machines.core.clock import DAY, Millis
from machines.core.currencies import CURRENCIES
from machines.core.money import ETH, Money
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import OverLink
from payflow.store.macs import Forged, UnknownKey
from payflow.store.registers.reservations import Miscount, recount, reserve
from payflow.store.row_list import Row
from payflow.store.scripts import SWAP


@dataclass(frozen=True, slots=True)
class PlatformGrant:
    """What one platform may do: units by asset; an asset that is not named has no limit."""

    daily: Mapping[str, int] = field(default_factory=dict)
    """What it may credit in one day (UTC)."""
    verified: Mapping[str, int] = field(default_factory=dict)
    """How much a provider whom only the platform verified may ask for in 24 hours as a verified one."""


AT_FIRST = PlatformGrant(
    daily={code: one.units(one.platform_daily) for code, one in CURRENCIES.items()}
    | {ETH.code: Money.parse("10", ETH).units},
    verified={code: one.units(one.platform_verified) for code, one in CURRENCIES.items()}
    | {ETH.code: Money.parse("0.25", ETH).units},
)
"""What a platform without a grant may do in a store that was made by this version or a later one."""


class _GrantRow(msgspec.Struct):
    daily: Mapping[str, int]
    verified: Mapping[str, int]
    mac: bytes = b""


class PlatformGrants(OverLink):
    """The grants, and today's earnings."""

    async def granted(self, platform: str) -> PlatformGrant:
        """Read a platform's grant; one that has none is limited only in stores that began with limits."""
        place = Row(keys.PLATFORMS, platform)
        row = await self._link.rows.read(self._link, place)
        if row is not None:
            found = msgspec.msgpack.decode(row, type=_GrantRow)
            self._link.macs.refuse_forged(_place(platform), found.mac, *_content(found))
            return PlatformGrant(found.daily, found.verified)
        return AT_FIRST if await self._link.ask("HEXISTS", keys.META, "platforms_limited") else PlatformGrant()

    async def grant(self, platform: str, grant: PlatformGrant) -> None:
        """Write a grant."""
        written = self._written(platform, grant)
        async with self._link.rows.changing(self._link, Row(keys.PLATFORMS, platform), written):
            await self._link.ask("HSET", keys.PLATFORMS, platform, written)

    def _written(self, platform: str, grant: PlatformGrant) -> bytes:
        mac = self._link.macs.sign(_place(platform), *_content(grant))
        return encode(_GrantRow(grant.daily, grant.verified, mac))

    async def sign(self) -> AsyncIterator[str]:
        """Sign anew, with the newest key, all that is trusted; name what is not."""
        for platform in await self.with_grants():
            row = await self._link.ask("HGET", keys.PLATFORMS, platform)
            try:
                grant = await self.granted(platform)
            except (Forged, UnknownKey, msgspec.MsgspecError):
                yield _place(platform)
            else:
                fresh = self._written(platform, grant)
                if fresh != row:
                    async with self._link.rows.changing(self._link, Row(keys.PLATFORMS, platform), fresh):
                        await self._link.run(SWAP, [keys.PLATFORMS], platform, row, fresh)

    async def with_grants(self) -> list[str]:
        """Name the platforms that have one."""
        return sorted(name.decode() for name in await self._link.ask("HKEYS", keys.PLATFORMS))

    async def reserve(self, platform: str, earning: str, amount: Money, most: int, now: Millis) -> bool:
        """Take an earning off what the platform may credit today, once; False where less than that is left."""
        place, code = keys.credited(platform, now // DAY), amount.asset.code
        return not await reserve(
            self._link, place, f"{earning} {code} {amount.units}", amount.units, 0, now, {code: most}
        )

    async def recount(self, platform: str, least: Mapping[str, int], now: Millis, *, put_right: bool) -> list[Miscount]:
        """Compare what a platform credited today with what was posted today at least."""
        return await recount(self._link, keys.credited(platform, now // DAY), least, now, put_right=put_right)

    async def used(self, platform: str, asset: str, now: Millis) -> int:
        """Say how much was credited today of an asset that has a limit."""
        return int(await self._link.ask("HGET", keys.credited(platform, now // DAY), asset) or 0)


def _place(platform: str) -> str:
    return f"{keys.PLATFORMS} {platform}"


def _content(grant: "PlatformGrant | _GrantRow") -> tuple[bytes, bytes]:
    return encode(sorted(grant.daily.items())), encode(sorted(grant.verified.items()))
