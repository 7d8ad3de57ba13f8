"""Command lines that wait to be signed in: each shows a code, and somebody who is signed in says yes or no to it.

The command line shows its secret, of which the store knows only the hash; people compare the code, which finds it once.
"""

import secrets
from dataclasses import dataclass, replace

import msgspec

from machines.core.clock import SECOND, Millis
from machines.core.errors import Conflict
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import OverLink
from payflow.store.macs import Forged
from payflow.store.registers.tokens import Role, Session, digest_of
from payflow.store.row_list import Row

LASTS_S = 10 * 60
# No vowels, so that no code is a word; nothing that is read for something else.
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_HALF = 4
_TRIES = 5


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """A command line that asked to be signed in."""

    account: str
    """What it says of itself: the account and the machine that it runs on."""
    address: str
    """Where it asked from."""
    at: Millis
    code: str = ""
    """What it shows."""
    declined: bool = False
    session: Session | None = None
    """The session of who said yes; None as long as nobody did."""


class PendingLogins(OverLink):
    """All command lines that wait."""

    async def ask(self, login: PendingLogin) -> tuple[str, str]:
        """Let one wait; gives its secret, and the code that people compare."""
        secret = secrets.token_urlsafe(32)
        digest = digest_of(secret)
        for _ in range(_TRIES):
            code = "".join(secrets.choice(_LETTERS) for _ in range(2 * _HALF))
            if await self._link.ask("SET", keys.login_code(code), digest, "NX", "EX", LASTS_S):
                written = self._written(digest, replace(login, code=code))
                async with self._link.rows.changing(self._link, Row(keys.login(digest)), written, LASTS_S * SECOND):
                    await self._link.ask("SET", keys.login(digest), written, "EX", LASTS_S)
                return secret, f"{code[:_HALF]}-{code[_HALF:]}"
        raise Conflict("No code is free: ask again.")

    async def coded(self, code: str) -> PendingLogin | None:
        """Find the one that shows a code; None where it is over or was decided."""
        digest = await self._link.ask("GET", keys.login_code(_plain(code)))
        login = None if digest is None else await self._read(digest.decode())
        return login if login and login.code == _plain(code) else None

    async def decide(self, code: str, session: Session | None) -> PendingLogin | None:
        """Say yes with one's session, or no, to the one that shows a code; of all who do, one is given it."""
        found = await self._link.ask("GETDEL", keys.login_code(_plain(code)))
        login = None if found is None else await self._read(found.decode())
        if found is None or login is None or login.code != _plain(code):
            return None
        decided, digest = replace(login, session=session, declined=session is None), found.decode()
        written = self._written(digest, decided)
        async with self._link.rows.changing(self._link, Row(keys.login(digest)), written):
            there = await self._link.ask("SET", keys.login(digest), written, "XX", "KEEPTTL")
        return decided if there else None

    async def collect(self, secret: str) -> PendingLogin | None:
        """Tell one how it stands; what was decided it hears once. None where it is over or never asked."""
        login = await self._read(digest_of(secret))
        if login is None or not (login.declined or login.session):
            return login
        row = Row(keys.login(digest_of(secret)))
        async with self._link.rows.changing(self._link, row, None):
            taken = await self._link.ask("GETDEL", row.key)
        return None if taken is None else login

    async def _read(self, digest: str) -> PendingLogin | None:
        try:
            row = await self._link.rows.read(self._link, Row(keys.login(digest)))
        except Forged:
            return None
        written = self._link.macs.opened(keys.login(digest), row)
        if written is None:
            return None
        account, address, at, code, declined, token, let_in_by, *more = msgspec.msgpack.decode(written)
        person, roles = more or ("", ())
        session = Session(token, let_in_by, person=person, roles=tuple(map(Role, roles))) if token or person else None
        return PendingLogin(account, address, Millis(at), code, declined, session)

    def _written(self, digest: str, one: PendingLogin) -> bytes:
        session = one.session or Session("")
        said = (one.account, one.address, one.at, one.code, one.declined, session.token, session.let_in_by)
        more = (session.person, session.roles) if session.person else ()
        return self._link.macs.wrap(keys.login(digest), encode((*said, *more)))


def _plain(code: str) -> str:
    """Read a code however it was typed."""
    return "".join(letter for letter in code.upper() if letter in _LETTERS)[: 2 * _HALF + 1]
