"""Whether one person is enough for what takes two, the news that everybody hears, and what no service was there for.

Both are signed rows of the whole installation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from machines.core.clock import Millis
from machines.core.decision import Message
from machines.core.errors import Conflict
from machines.core.ids import Owner, shard_for
from payflow.store import keys
from payflow.store.macs import Forged
from payflow.store.registers.profiles import Profiles

SETTING = "setting"
OWNER = Owner("one-person")
"""What the row is called, and who its messages are of."""
ACTED, FIRST_SIGN_IN = "acted_alone", "first_sign_in"
"""What everybody hears of."""
MOST_TRIES = 10
NEVER = Millis(0)


@dataclass(frozen=True, slots=True)
class OnePerson:
    """The setting, as somebody left it."""

    on: bool = False
    by: str = ""
    since: Millis = NEVER
    version: int = 0
    """Counts its changes and what was told of it."""


class _SettingRow(msgspec.Struct):
    on: bool
    by: str
    since: int


class OnePersonSetting:
    """A row like a profile: signed, with a version, and written together with what is told of it."""

    def __init__(self, profiles: Profiles, shards: int) -> None:
        self._profiles = profiles
        self._key = keys.setting(shard_for(OWNER, shards), OWNER)

    async def read(self) -> OnePerson:
        """Read it; one that nobody of us wrote is off, and so is none."""
        try:
            row, version = await self._profiles.row(self._key)
        except Forged:
            return OnePerson()
        if row is None:
            return OnePerson()
        found = msgspec.msgpack.decode(row, type=_SettingRow)
        return OnePerson(found.on, found.by, Millis(found.since), version)

    async def write(self, after: OnePerson, news: Mapping[str, str], contacts: Sequence[str], now: Millis) -> None:
        """Change it, as it was read, and tell everybody."""
        row = _SettingRow(after.on, after.by, after.since)
        if not await self._profiles.put(SETTING, OWNER, after.version, row, now, self._messages(news, contacts)):
            raise Conflict("Whether one person is enough was changed by somebody else meanwhile: look again.")

    async def tell(self, news: Mapping[str, str], contacts: Sequence[str], now: Millis, event: str = ACTED) -> None:
        """Tell everybody what one person is about to do: it is in the outbox before they do it."""
        for _ in range(MOST_TRIES):
            found = await self.read()
            row, messages = _SettingRow(found.on, found.by, found.since), self._messages(news, contacts, event)
            if await self._profiles.put(SETTING, OWNER, found.version, row, now, messages):
                return
        raise Conflict("What one person does could not be told, because others do so at once: try again.")

    def _messages(self, news: Mapping[str, str], contacts: Sequence[str], event: str = ACTED) -> tuple[Message, ...]:
        body = {"event": event, "owner": str(OWNER), **news}
        to_reviewers = Message("notify", body)
        if not contacts:
            return (to_reviewers,)
        return to_reviewers, Message("notify", {**body, "to": self._profiles.sealed_contacts(OWNER, contacts)})


# ── done while no service ran ────────────────────────────────────────────────────────────────────────────────────────


GLASS = Owner("break-glass")
MOST_BROKEN = 1000
"""So many may wait to be looked at. None is ever dropped unseen: whoever breaks the glass more often is refused."""


@dataclass(frozen=True, slots=True)
class GlassBroken:
    """One time that people acted without the service."""

    at: Millis
    who: str
    what: str
    why: str


class BrokenGlass:
    """What was done so and nobody has looked at since."""

    def __init__(self, profiles: Profiles, shards: int) -> None:
        self._profiles = profiles
        self._key = keys.setting(shard_for(GLASS, shards), GLASS)

    async def all(self) -> list[GlassBroken]:
        """List it, the oldest first; where nobody of us wrote what is there, that is what must be looked at."""
        try:
            return (await self._read())[0]
        except Forged:
            return [GlassBroken(NEVER, "nobody known", "changed what was done so", "`payflow verify` names the row")]

    async def add(self, one: GlassBroken) -> None:
        """Write one down."""
        await self._write(lambda found: [*found, one], one.at)

    async def sign_off(self, at: Millis, now: Millis) -> GlassBroken | None:
        """Take one off; None where it is not there."""
        signed = next((one for one in await self.all() if one.at == at), None)
        await self._write(lambda found: [one for one in found if one.at != at], now)
        return signed

    async def _read(self) -> tuple[list[GlassBroken], int]:
        row, version = await self._profiles.row(self._key)
        rows = msgspec.msgpack.decode(row) if row is not None else []
        return [GlassBroken(Millis(at), who, what, why) for at, who, what, why in rows], version

    async def _write(self, changed: Callable[[list[GlassBroken]], list[GlassBroken]], now: Millis) -> None:
        for _ in range(MOST_TRIES):
            found, version = await self._read()
            row = [(one.at, one.who, one.what, one.why) for one in changed(found)]
            if await self._profiles.put(SETTING, GLASS, version, row, now, ()):
                return
        raise Conflict("What was done without the service is being written by others: try again.")
