"""Providers: whether they are verified, where to tell them things, where their money usually goes."""

import heapq
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from machines.core.clock import Clock, Millis
from machines.core.decision import Message
from machines.core.errors import BadInput, Conflict, ReservedOwner
from machines.core.ids import Owner, ReservedOwners, derived_id, room_of, shard_for
from machines.core.ports import Destination
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import Link
from payflow.store.macs import Forged, UnknownKey
from payflow.store.row_list import Row
from payflow.store.scripts import PROFILE, SWAP
from payflow.store.seals import Seals

INDEXED = "providers_indexed"
"""Whether it is written down whom each platform speaks for."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a provider."""

    owner: Owner
    platform: str = ""
    """The platform that brought him, which hears of his payouts."""
    verified: bool = False
    checked_by_us: bool = False
    """Whether somebody who works here said that they are verified, and not only their platform."""
    notify: tuple[str, ...] = ()
    """Where they are told things: one URL each, for mail, push or chat."""
    destination: Destination | None = None
    details_changed_at: Millis | None = None
    """When a destination that he had gave way to another one, or to none."""
    version: int = 0


@dataclass(frozen=True, slots=True)
class _ProfileRow:
    platform: str
    verified: bool
    notify: tuple[str, ...]
    sealed: str
    details_changed_at: Millis | None
    checked_by_us: bool = False


class Profiles:
    """The profiles of all providers."""

    def __init__(
        self, link: Link, seals: Seals, shards: int, clock: Clock | None = None, reserved: ReservedOwners | None = None
    ) -> None:
        self.reserved = reserved or ReservedOwners()
        self._link = link
        self._seals = seals
        self._shards = shards
        self._clock = clock

    def refuse_reserved(self, owner: Owner) -> None:
        """Raise where no platform may speak for an owner, because Payflow itself names it."""
        if owner in self.reserved:
            raise ReservedOwner(
                f"{owner}: Payflow itself names whoever has `{owner.partition(':')[0]}:` in front (GitHub accounts, "
                "repositories, lanes, a pool's miners); no platform speaks for them. Name the provider otherwise."
            )

    async def read(self, owner: Owner) -> Profile:
        """Read a profile; one that nobody wrote is empty. What a platform wrote over a reserved owner is not there."""
        key = keys.provider(shard_for(owner, self._shards), owner)
        row, version = await self.row(key)
        if row is None:
            return Profile(owner)
        found = msgspec.msgpack.decode(row, type=_ProfileRow)
        if found.platform and owner in self.reserved:
            # It was brought before platforms were kept from these names: nothing tells what else the platform wrote.
            return Profile(owner, details_changed_at=found.details_changed_at, version=int(version))
        return Profile(
            owner,
            found.platform,
            found.verified,
            found.checked_by_us,
            self._seals.contacts(found.notify, _bound_to(owner)),
            self._seals.open(found.sealed, _bound_to(owner)) if found.sealed else None,
            found.details_changed_at,
            int(version),
        )

    async def write(self, before: Profile, after: Profile, now: Millis, messages: Iterable[Message] = ()) -> Profile:
        """Write a profile that nobody changed since it was read; giving up a destination starts the cool-off.

        What must be told goes into the outbox with it, under an id of the provider's own: no change without a warning.
        """
        if before.owner != after.owner:
            raise BadInput("A profile keeps its owner.")
        if after.platform:
            self.refuse_reserved(after.owner)
            if room_of(after.owner) not in ("", after.platform):
                raise BadInput(f"{after.owner} is {room_of(after.owner)}'s own: no other platform speaks for them.")
        if before.destination is not None and after.destination != before.destination:
            after = replace(after, details_changed_at=now)
        row = _ProfileRow(
            after.platform,
            after.verified,
            self._seals.seal_contacts(after.notify, _bound_to(after.owner)),
            self._seals.seal(after.destination, _bound_to(after.owner)) if after.destination else "",
            after.details_changed_at,
            after.checked_by_us,
        )
        if after.platform:
            # First: a name too many in the index is passed over by whoever reads it, one that is missing is missed.
            index = keys.providers(shard_for(after.owner, self._shards), after.platform)
            await self._link.ask("ZADD", index, 0, after.owner)
        version = await self.put("provider", before.owner, before.version, row, now, messages)
        if not version:
            raise Conflict(f"The profile of {before.owner} was changed by somebody else: look again.")
        return replace(after, version=version)

    async def spoken_for(self, platform: str, after: str, limit: int) -> list[Owner]:
        """Name so many owners that a platform may speak for, in the order of their names, behind one of them."""
        if not await self._link.ask("HEXISTS", keys.META, INDEXED):
            await self._index()
        behind = f"({after}" if after else "-"
        names = [keys.providers(shard, platform) for shard in range(self._shards)]
        found = await self._link.pipeline([("ZRANGEBYLEX", name, behind, "+", "LIMIT", 0, limit) for name in names])
        return [Owner(one.decode()) for one in heapq.nsmallest(limit, (one for some in found for one in some))]

    async def _index(self) -> None:
        """Write down whom the platforms of a store speak for that an older version filled; once."""
        for shard in range(self._shards):
            begins = keys.provider(shard, "")
            async for key in self._link.keys(keys.provider(shard, "*")):
                owner = Owner(key.removeprefix(begins))
                with suppress(Forged, UnknownKey):
                    platform = (await self.read(owner)).platform
                    if platform:
                        await self._link.ask("ZADD", keys.providers(shard, platform), 0, owner)
        await self._link.ask("HSET", keys.META, INDEXED, 1)

    async def reseal(self, owner: Owner) -> bool:
        """Seal a profile anew where it needs it; False where it does not. Its version stays: it says the same."""
        key = keys.provider(shard_for(owner, self._shards), owner)
        seals, mine = self._seals, _bound_to(owner)
        row, version = await self.row(key)
        while row is not None:
            found = msgspec.msgpack.decode(row, type=_ProfileRow)
            where_is_current = not found.sealed or seals.is_current(found.sealed, mine)
            if where_is_current and seals.contacts_are_current(found.notify, mine):
                return False
            notify = seals.seal_contacts(seals.contacts(found.notify, mine), mine)
            sealed = found.sealed if where_is_current else seals.seal(seals.open(found.sealed, mine), mine)
            if await self.swap(key, row, version, encode(replace(found, notify=notify, sealed=sealed))):
                return True
            row, version = await self.row(key)
        return False

    async def row(self, key: str) -> tuple[bytes | None, int]:
        """Read what is kept of an owner, and its version; raises where nobody of us wrote it."""
        question = ("HMGET", key, "profile", "version", "mac")
        row, version, mac = await self._link.rows.read(self._link, _row(key), question, lambda found: found[2])
        if row is not None or mac:
            self._link.macs.refuse_forged(key, mac, int(version or 0), row or b"")
        return row, int(version or 0)

    async def swap(self, key: str, before: bytes, version: int, after: bytes) -> bool:
        """Write what says the same otherwise, in the version that it has, unless somebody changed it meanwhile."""
        mac = self._link.macs.sign(key, version, after)
        async with self._link.rows.changing(self._link, _row(key), mac):
            return bool(await self._link.run(SWAP, [key], "profile", before, after, "mac", mac))

    async def sign(self) -> AsyncIterator[str]:
        """Sign anew, with the newest key, all that is trusted, contributors and settings too; name what is not."""
        for kind in ("provider", "contributor", "setting"):
            async for key in self._link.keys(f"{{pf:??}}:{kind}:*"):
                try:
                    row, version = await self.row(key)
                except (Forged, UnknownKey):
                    yield key
                    continue
                mac = await self._link.ask("HGET", key, "mac")
                if row is not None and not self._link.macs.is_current(mac or b""):
                    await self.swap(key, row, version, row)

    def sealed_contacts(self, owner: Owner, contacts: Sequence[str]) -> str:
        """Encrypt contacts for a message to an owner that names them, one a line."""
        return "\n".join(self._seals.seal_contacts(contacts, _bound_to(owner)))

    def opened_contacts(self, owner: Owner, named: str) -> tuple[str, ...]:
        """Give the contacts that a message to an owner names."""
        return self._seals.contacts(named.splitlines(), _bound_to(owner))

    def renewed_contacts(self, owner: Owner, named: str) -> str:
        """Give what a message names as it should be: encrypted, with the newest key."""
        lines, mine = named.splitlines(), _bound_to(owner)
        if self._seals.contacts_are_current(lines, mine):
            return named
        return self.sealed_contacts(owner, self._seals.contacts(lines, mine))

    async def put(
        self, kind: str, owner: Owner, version: int, row: object, now: Millis, messages: Iterable[Message]
    ) -> int:
        """Write what is known of an owner, and give its new version; 0 where it is not in the version that was read."""
        shard = shard_for(owner, self._shards)
        sender = derived_id(kind, shard, owner)
        encoded = [encode((message.kind, sender, now, message.body)) for message in messages]
        at = self._clock.now() if self._clock else 0
        key = f"{keys.prefix(shard)}{kind}:{owner}"
        mac = self._link.macs.sign(key, version + 1, encode(row))
        place = (f"{kind}:{owner}", version, encode(row), sender, mac)
        async with self._link.rows.changing(self._link, _row(key), mac):
            return int(await self._link.run(PROFILE, [keys.sequence(shard)], at, *place, *encoded))


def _row(key: str) -> Row:
    return Row(key, "mac")


def _bound_to(owner: Owner) -> str:
    return f"provider:{owner}"
