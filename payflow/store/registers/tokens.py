"""API tokens, who may talk to the API and as what, and the sessions that people open with them at our pages.

The store knows only the hashes of what they show.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

from machines.core.clock import HOUR, Clock, Millis, SystemClock
from machines.core.errors import BadInput, Conflict, NotFound
from machines.core.ids import owner_of
from payflow.store import keys
from payflow.store.link import Link, OverLink

# A name that scanners for leaked secrets can look for, and 256 random bits: nobody guesses, so a plain hash will do.
PREFIX = "payflow_"
_SECRET_BYTES = 32
_SHAPE = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
_SESSION = re.compile(r"[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}")
# No slash and no colon: a platform's name is followed by one of them where its earnings are kept.
_PLATFORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

# The last use is written this often and no oftener: a look at the list is not worth a write a request.
_USE_WRITTEN_EVERY_MS = HOUR


class Role(StrEnum):
    """What a token is for."""

    PLATFORM = "platform"
    """Brings providers and what they earned; asks for payouts on their behalf."""
    PROVIDER = "provider"
    """Asks for his own money, and sees what is his."""
    REVIEWER = "reviewer"
    """Approves and rejects."""
    OPERATOR = "operator"
    """Retries, gives back, cancels."""
    VIEWER = "viewer"
    """Sees everything, changes nothing."""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What is known of a token; never what its holder shows."""

    name: str
    """Who holds it: what the history calls him. Capitals make no other name: two people must not be one."""
    role: Role
    of: str
    """The provider or the platform that it is bound to; empty for people who work here."""
    made_by: str
    made_at: Millis
    used_at: Millis | None = None
    """When it was last used, to the hour."""
    revoked_by: str = ""
    revoked_at: Millis | None = None


class Tokens:
    """All API tokens."""

    def __init__(self, link: Link, clock: Clock | None = None) -> None:
        self._link = link
        self._clock = clock or SystemClock()

    async def create(self, name: str, role: Role, of: str, made_by: str) -> str:
        """Make a token and give what its holder must show: it is told this once and kept nowhere."""
        _check(name, role, of)
        secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        key, digest = keys.token(digest_of(secret)), digest_of(secret)
        fields = {"name": name, "role": role.value, "of": of, "made_by": made_by, "made_at": self._clock.now()}
        await self._link.ask("HSET", key, *(part for field in fields.items() for part in field))
        # The token first: what a crash leaves behind is a token that nobody was told, never one that nobody can revoke.
        if not await self._link.ask("HSETNX", keys.TOKENS, name.casefold(), digest):
            await self._link.ask("DEL", key)
            raise Conflict(f"There is a token {name!r} in use: revoke it first, or take another name.")
        return secret

    async def find(self, secret: str) -> ApiToken | None:
        """Tell whose token this is; None for one that is unknown or revoked."""
        if not _SHAPE.fullmatch(secret):
            return None
        # Looked up by its hash, so how long the look-up takes tells nothing about any token.
        return await self.known(digest_of(secret))

    async def known(self, digest: str) -> ApiToken | None:
        """Tell whose token has this hash; None for one that is unknown or revoked."""
        key = keys.token(digest)
        token = _read(await self._link.ask("HGETALL", key))
        if token is None or token.revoked_at is not None:
            return None
        now = self._clock.now()
        if token.used_at is None or now - token.used_at >= _USE_WRITTEN_EVERY_MS:
            await self._link.ask("HSET", key, "used_at", now)
        return token

    async def digest_in_use(self, name: str) -> str:
        """Give the hash of the token in use under a name."""
        digest = await self._link.ask("HGET", keys.TOKENS, name.casefold())
        if digest is None:
            raise NotFound(f"There is no token {name!r} in use.")
        return str(digest.decode())

    async def revoke(self, name: str, by: str) -> ApiToken:
        """Let a token open nothing any more, from this moment, everywhere; its name is free again."""
        key = keys.token(await self.digest_in_use(name))
        now = self._clock.now()
        await self._link.ask("HSET", key, "revoked_by", by, "revoked_at", now)
        token = _read(await self._link.ask("HGETALL", key))
        if token is None:
            raise NotFound(f"There is no token {name!r} in use.")
        if token.name == sign_in_name(token.of):
            await self._link.ask("HSET", keys.TOKENS, token.of, now)
        await self._link.ask("HDEL", keys.TOKENS, name.casefold())
        return token

    async def locked_out(self, of: str) -> bool:
        """Whether the token by which an account signs in was revoked: it gets no other by signing in again."""
        return bool(await self._link.ask("HEXISTS", keys.TOKENS, of))

    async def let_in(self, of: str) -> None:
        """Let an account that was locked out sign in again. No name of a token has the colon of an account."""
        if ":" in of:
            await self._link.ask("HDEL", keys.TOKENS, of)

    async def all(self) -> list[ApiToken]:
        """List every token that was ever made, the newest first."""
        found = [one async for one in self._link.keys(keys.token("*"))]
        tokens = [_read(fields) for fields in await self._link.pipeline([("HGETALL", key) for key in found])]
        return sorted((token for token in tokens if token), key=lambda token: token.made_at, reverse=True)


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who signed in and has not signed out."""

    token: str
    """The hash of the token that they signed in with: when that is revoked, their sessions are over."""
    let_in_by: str = ""
    """Who made the link that they came by; empty where they showed their token."""
    said: str = ""
    """What they must be told at the next page."""


class Sessions(OverLink):
    """All sessions."""

    async def open(self, session: Session, lasts_s: int) -> str:
        """Open a session, and give what its browser must show."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        key = keys.session(digest_of(secret))
        fields = ("token", session.token, "by", session.let_in_by)
        await self._link.pipeline([("HSET", key, *fields), ("EXPIRE", key, lasts_s)])
        return secret

    async def find(self, secret: str) -> Session | None:
        """Find a session; None for one that is over or never was."""
        if not _SESSION.fullmatch(secret):
            return None
        token, *more = await self._link.ask("HMGET", keys.session(digest_of(secret)), "token", "by", "said")
        return None if token is None else Session(token.decode(), *((value or b"").decode() for value in more))

    async def say(self, secret: str, said: str) -> None:
        """Keep a word for the next page; a session that is over keeps none."""
        key = keys.session(digest_of(secret))
        _, open_ = await self._link.pipeline([("HSET", key, "said", said), ("HEXISTS", key, "token")])
        if not open_:
            await self._link.ask("DEL", key)

    async def heard(self, secret: str) -> None:
        """Forget the word: it was shown."""
        await self._link.ask("HDEL", keys.session(digest_of(secret)), "said")

    async def close(self, secret: str) -> None:
        if _SESSION.fullmatch(secret):
            await self._link.ask("DEL", keys.session(digest_of(secret)))


def _check(name: str, role: Role, of: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name[:64]!r} is no name for a token: 1 to 64 letters, digits and _.@+-, a letter or digit first."
        )
    match role:
        case Role.PROVIDER:
            owner_of(of)
        case Role.PLATFORM if not _PLATFORM.fullmatch(of):
            raise BadInput(f"{of[:64]!r} is no platform: 1 to 64 letters, digits and _.-, a letter or digit first.")
        case Role.REVIEWER | Role.OPERATOR | Role.VIEWER if of:
            raise BadInput(f"A {role} is bound to nobody: leave {of[:64]!r} out.")
        case _:
            pass


def sign_in_name(of: str) -> str:
    """Name the token by which an account of elsewhere, such as `github:5`, signs in here."""
    return of.replace(":", "-")


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(fields: dict[bytes, bytes]) -> ApiToken | None:
    known = {name.decode(): value.decode() for name, value in fields.items()}
    if "made_at" not in known:
        return None
    return ApiToken(
        name=known["name"],
        role=Role(known["role"]),
        of=known["of"],
        made_by=known["made_by"],
        made_at=Millis(int(known["made_at"])),
        used_at=_time(known.get("used_at")),
        revoked_by=known.get("revoked_by", ""),
        revoked_at=_time(known.get("revoked_at")),
    )


def _time(text: str | None) -> Millis | None:
    return Millis(int(text)) if text else None
