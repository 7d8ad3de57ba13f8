"""Links that sign somebody in at our pages: each is good once, for some minutes.

The store knows only the hash of what a link shows. Whose it is, it says by the hash of their token: when that is
revoked, the link opens nothing. Of a person without a token it says the name.
"""

import re
import secrets
from dataclasses import dataclass

import msgspec

from machines.core.clock import SECOND
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import OverLink
from payflow.store.macs import Forged
from payflow.store.registers.tokens import Role, digest_of
from payflow.store.row_list import Row

LASTS_S = 15 * 60
# 128 bits for a quarter of an hour: nobody guesses, and a link stays on one line.
_SECRET_BYTES = 16
_SHAPE = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True, slots=True)
class SignInLink:
    """Who is let in by a link."""

    token: str
    """The hash of the token whose holder is let in."""
    made_by: str
    """Who made the link, where that is somebody else."""
    person: str = ""
    """Who is let in, where they have no token."""
    roles: tuple[Role, ...] = ()
    """What they may be then."""


class SignInLinks(OverLink):
    """All links that nobody has used."""

    async def make(self, link: SignInLink) -> str:
        """Make a link, and give what it must show."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        place = keys.sign_in_link(digest_of(secret))
        more = (link.person, link.roles) if link.person else ()
        written = self._link.macs.wrap(place, encode((link.token, link.made_by, *more)))
        async with self._link.rows.changing(self._link, Row(place), written, LASTS_S * SECOND):
            await self._link.ask("SET", place, written, "EX", LASTS_S)
        return secret

    async def find(self, secret: str) -> SignInLink | None:
        """Tell who a link lets in, which uses nothing up; None for one that was used, is over or never was."""
        return await self._read(secret)

    async def take(self, secret: str) -> SignInLink | None:
        """Use a link up: of all who try at once, one is given it."""
        return await self._read(secret, taken=True)

    async def _read(self, secret: str, *, taken: bool = False) -> SignInLink | None:
        if not _SHAPE.fullmatch(secret):
            return None
        place = keys.sign_in_link(digest_of(secret))
        rows, row = self._link.rows, Row(place)
        try:
            written = self._link.macs.opened(place, await rows.read(self._link, row))
        except Forged:
            return None
        if taken and written is not None:
            async with rows.changing(self._link, row, None):
                written = self._link.macs.opened(place, await self._link.ask("GETDEL", place))
        if written is None:
            return None
        token, made_by, *more = msgspec.msgpack.decode(written)
        person, roles = more or ("", ())
        return SignInLink(token, made_by, person, tuple(map(Role, roles)))
