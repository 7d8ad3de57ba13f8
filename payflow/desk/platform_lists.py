"""What a platform sees of all its providers at once: who they are, what they have, and all of their payouts."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from machines.core.clock import Millis
from machines.core.errors import BadInput
from machines.core.ids import Owner, room_of
from machines.core.money import Asset, Money
from machines.core.record import Record
from machines.payout.data import PayoutRecord
from payflow.desk import platforms
from payflow.desk.payouts import MACHINE
from payflow.desk.person import Caller
from payflow.desk.records import SLICE, owned_page
from payflow.desk.values import LedgerAccount
from payflow.store.listing import ListCursor
from payflow.store.registers.profiles import Profile
from payflow.store.registers.tokens import Role
from payflow.store.store import Store

MOST_PROVIDERS = 20_000
"""Of so many the payouts are listed together, and what they have is summed up; of more one asks one by one."""
MOST_COUNTED = 10_000
AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class PayoutFilter:
    """Which payouts."""

    states: tuple[str, ...] = ()
    """None named for all."""
    currency: str = ""
    since: Millis | None = None
    until: Millis | None = None

    def fits(self, record: Record[object]) -> bool:
        """Whether a record is one of them, but for its time."""
        code = record.amount.asset.code if record.amount else ""
        return (
            record.machine == MACHINE
            and (not self.states or record.state in self.states)
            and self.currency in ("", code)
        )


@dataclass(frozen=True, slots=True)
class PayoutSum:
    """How many payouts there are of one state and currency, and what they come to."""

    state: str
    count: int
    amount: Money


class PlatformLists:
    """The lists of all platforms; each sees its own, who works here says whose."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def platform(self, caller: Caller, asked: str) -> str:
        """Say whose lists these are."""
        if caller.role is Role.PLATFORM:
            if asked not in ("", caller.of):
                raise BadInput("platform: this token is bound to another one.")
            return caller.of
        if not asked:
            raise BadInput("platform: say whose.")
        await platforms.refuse_unknown(self._store, asked)
        return asked

    # ── providers ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def providers(self, platform: str, after: str, limit: int) -> tuple[list[Profile], str]:
        """List providers in the order of their names, behind one; and the name behind which it goes on, if it does."""
        found: list[Profile] = []
        while len(found) <= limit:
            owners = await self._store.profiles.spoken_for(platform, after, SLICE)
            for owner in owners:
                profile = await self._store.profiles.read(owner)
                found += [profile] if profile.platform == platform else []
            if len(owners) < SLICE:
                break
            after = owners[-1]
        return found[:limit], found[limit - 1].owner if len(found) > limit else ""

    async def count(self, platform: str) -> int:
        """Count them."""
        return len(await self._all(platform))

    async def _all(self, platform: str) -> list[Owner]:
        """Name all of them. Who is in a room of the platform's is nobody else's; of others their profile says whose."""
        owners = await self._store.profiles.spoken_for(platform, "", MOST_PROVIDERS + 1)
        if len(owners) > MOST_PROVIDERS:
            raise BadInput(f"{platform} has more than {MOST_PROVIDERS} providers: say of which, with owner.")
        found = [one for one in owners if room_of(one) == platform]
        others = [one for one in owners if room_of(one) != platform]
        for first in range(0, len(others), AT_A_TIME):
            profiles = await asyncio.gather(*map(self._store.profiles.read, others[first : first + AT_A_TIME]))
            found += [one.owner for one in profiles if one.platform == platform]
        return found

    # ── payouts ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def payouts(
        self, platform: str, owner: Owner | None, wanted: PayoutFilter, after: ListCursor | None, limit: int
    ) -> tuple[list[PayoutRecord], ListCursor | None]:
        """Give one page of payouts, the newest first, and where the next one begins."""
        owners = [owner] if owner is not None else await self._all(platform)
        return await owned_page(self._store, owners, after, wanted.fits, limit, since=wanted.since, until=wanted.until)

    async def totals(self, platform: str, owner: Owner | None, wanted: PayoutFilter) -> tuple[list[PayoutSum], bool]:
        """Sum payouts up, by state and currency; and whether those are all, or the newest ten thousand alone."""
        counts, units, assets, seen = Counter[tuple[str, str]](), Counter[tuple[str, str]](), dict[str, Asset](), 0
        async for record in self._each([owner] if owner is not None else await self._all(platform), wanted):
            if record.amount is not None:
                place = (record.state, record.amount.asset.code)
                counts[place] += 1
                units[place] += record.amount.units
                assets[record.amount.asset.code] = record.amount.asset
            seen += 1
            if seen == MOST_COUNTED:
                break
        sums = [PayoutSum(at[0], count, Money(units[at], assets[at[1]])) for at, count in sorted(counts.items())]
        return sums, seen < MOST_COUNTED

    async def _each(self, owners: list[Owner], wanted: PayoutFilter) -> AsyncIterator[PayoutRecord]:
        after: ListCursor | None = None
        while True:
            page, after = await owned_page(
                self._store, owners, after, wanted.fits, SLICE, since=wanted.since, until=wanted.until
            )
            for record in page:
                yield record
            if after is None:
                return

    # ── balances ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def balances(
        self, platform: str, after: str, limit: int
    ) -> tuple[list[tuple[Owner, Mapping[str, LedgerAccount]]], str]:
        """List what providers have, in the order of their names, and the name behind which it goes on."""
        profiles, further = await self.providers(platform, after, limit)
        return [(one.owner, await self._store.ledger.account(one.owner)) for one in profiles], further

    async def sums(self, platform: str) -> dict[str, LedgerAccount]:
        """Sum up what all of them have, by currency."""
        found: dict[str, Counter[str]] = {}
        owners = await self._all(platform)
        for first in range(0, len(owners), AT_A_TIME):
            for accounts in await asyncio.gather(*map(self._store.ledger.account, owners[first : first + AT_A_TIME])):
                for code, account in accounts.items():
                    found.setdefault(code, Counter()).update(
                        available=account.available, held=account.held, paid=account.paid, owed=account.owed
                    )
        return {code: LedgerAccount(**parts) for code, parts in found.items()}
