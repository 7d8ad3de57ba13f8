"""Who an identity provider vouches for: whose word is waited for, and which person each of its subjects is here."""

import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from machines.core.clock import Millis
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import OverLink
from payflow.store.macs import Forged
from payflow.store.registers.tokens import Role, digest_of
from payflow.store.row_list import Row
from payflow.store.scripts import SWAP

ASKED_S = 10 * 60
"""So long somebody may take to sign in at the provider."""


@dataclass(frozen=True, slots=True)
class IssuerSignIn:
    """Somebody who was sent to the identity provider."""

    browser: str
    """The hash of what only their browser shows."""
    at: Millis
    to: str
    """Where they wanted to go."""
    session: str = ""
    """The hash of their session, where they are signed in and prove that it is them."""


class IssuerSignIns(OverLink):
    """All who were sent and have not come back."""

    async def begin(self, one: IssuerSignIn) -> str:
        """Send one; gives the state that they must come back with."""
        state = secrets.token_urlsafe(32)
        place = keys.issuer_sign_in(digest_of(state))
        written = self._link.macs.wrap(place, encode((one.browser, one.at, one.to, one.session)))
        await self._link.ask("SET", place, written, "EX", ASKED_S)
        return state

    async def take(self, state: str) -> IssuerSignIn | None:
        """Tell who comes back with a state, once."""
        place = keys.issuer_sign_in(digest_of(state))
        written = self._link.macs.opened(place, await self._link.ask("GETDEL", place))
        return None if written is None else IssuerSignIn(*msgspec.msgpack.decode(written))


@dataclass(frozen=True, slots=True)
class KnownSubject:
    """One subject of one identity provider, who signed in here."""

    issuer: str
    subject: str
    person: str
    """Who it is here."""
    roles: tuple[Role, ...]
    """What the provider's groups let them be when they signed in last; all that they are where groups say nothing."""
    first_at: Millis
    last_at: Millis


class KnownSubjects(OverLink):
    """All subjects."""

    async def find(self, issuer: str, subject: str) -> KnownSubject | None:
        """Find a subject; None for one that never signed in, or that nobody of us wrote."""
        name = _name(issuer, subject)
        try:
            found = self._read(name, await self._link.rows.read(self._link, Row(keys.SUBJECTS, name)))
        except Forged:
            return None
        return found if found and (found.issuer, found.subject) == (issuer, subject) else None

    async def all(self) -> list[KnownSubject]:
        """List them, those who came first first."""
        rows = await self._link.rows.fields(self._link, keys.SUBJECTS)
        found = (self._read(name.decode(), row) for name, row in rows if not isinstance(row, Forged))
        return sorted((one for one in found if one), key=lambda one: one.first_at)

    async def write(self, one: KnownSubject) -> None:
        """Write down that one signed in."""
        name = _name(one.issuer, one.subject)
        written = self._written(name, one)
        async with self._link.rows.changing(self._link, Row(keys.SUBJECTS, name), written):
            await self._link.ask("HSET", keys.SUBJECTS, name, written)

    async def sign(self) -> AsyncIterator[str]:
        """Sign anew, with the newest key, all that is trusted; name what is not."""
        for raw, row in await self._link.rows.fields(self._link, keys.SUBJECTS):
            name = raw.decode(errors="replace")
            one = None if isinstance(row, Forged) else self._read(name, row)
            if one is None:
                yield f"{keys.SUBJECTS} {name}"
            else:
                fresh = self._written(name, one)
                if fresh != row:
                    async with self._link.rows.changing(self._link, Row(keys.SUBJECTS, name), fresh):
                        await self._link.run(SWAP, [keys.SUBJECTS], raw, row, fresh)

    def _written(self, name: str, one: KnownSubject) -> bytes:
        said = (one.issuer, one.subject, one.person, one.roles, one.first_at, one.last_at)
        return self._link.macs.wrap(f"{keys.SUBJECTS} {name}", encode(said))

    def _read(self, name: str, row: bytes | None) -> KnownSubject | None:
        content = self._link.macs.opened(f"{keys.SUBJECTS} {name}", row)
        if content is None:
            return None
        issuer, subject, person, roles, first_at, last_at = msgspec.msgpack.decode(content)
        return KnownSubject(issuer, subject, person, tuple(map(Role, roles)), Millis(first_at), Millis(last_at))


def _name(issuer: str, subject: str) -> str:
    return hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()
