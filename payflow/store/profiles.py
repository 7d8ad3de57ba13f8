"""Providers: whether they are verified, where to tell them things, where their money usually goes."""

from dataclasses import dataclass, replace

import msgspec

from machines.core.clock import Millis
from machines.core.errors import BadInput, Conflict
from machines.core.ids import Owner
from machines.core.ports import Destination
from payflow.store import keys
from payflow.store.link import Link
from payflow.store.seals import Seals


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a provider."""

    owner: Owner
    platform: str = ""
    """The platform that brought him, which hears of his payouts."""
    verified: bool = False
    notify: tuple[str, ...] = ()
    """Where to tell him things: one URL each, for mail, push or chat."""
    destination: Destination | None = None
    details_changed_at: Millis | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class _Kept:
    platform: str
    verified: bool
    notify: tuple[str, ...]
    sealed: str
    details_changed_at: int | None


class Profiles:
    """The profiles of all providers."""

    def __init__(self, link: Link, seals: Seals) -> None:
        self._link = link
        self._seals = seals

    async def read(self, owner: Owner) -> Profile:
        """Read a profile; one that nobody wrote is empty."""
        kept, version = await self._link.ask("HMGET", keys.provider(owner), "profile", "version")
        if kept is None:
            return Profile(owner)
        found = msgspec.msgpack.decode(kept, type=_Kept)
        return Profile(
            owner,
            found.platform,
            found.verified,
            found.notify,
            self._seals.open(found.sealed) if found.sealed else None,
            Millis(found.details_changed_at) if found.details_changed_at is not None else None,
            int(version),
        )

    async def write(self, before: Profile, after: Profile, now: Millis) -> Profile:
        """Write a profile that nobody changed since it was read; a new destination starts the cool-off."""
        if before.owner != after.owner:
            raise BadInput("A profile keeps its owner.")
        changed = after.destination != before.destination
        after = replace(after, details_changed_at=now if changed and before.version else after.details_changed_at)
        kept = _Kept(
            after.platform,
            after.verified,
            after.notify,
            self._seals.seal(after.destination) if after.destination else "",
            after.details_changed_at,
        )
        key = keys.provider(before.owner)
        version = await self._link.ask("HINCRBY", key, "version", 1)
        if version != before.version + 1:
            await self._link.ask("HINCRBY", key, "version", -1)
            raise Conflict(f"The profile of {before.owner} was changed by somebody else: look again.")
        await self._link.ask("HSET", key, "profile", msgspec.msgpack.encode(kept))
        return replace(after, version=version)
