"""Sessions of people at our pages. The store knows the hash of what their browser shows, never what it shows."""

import hashlib
import re
import secrets
from dataclasses import dataclass

from payflow.store import keys
from payflow.store.link import Link

_SECRET_BYTES = 32
_SHAPE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who signed in and has not signed out."""

    token: str
    """The hash of the token that he signed in with: when that is revoked, his sessions are over."""
    said: str
    """What he must be told at the next page."""


class Sessions:
    """All sessions."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def open(self, token: str, lasts_s: int) -> str:
        """Open a session for the holder of a token, by its hash, and give what his browser must show."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        key = _key(secret)
        await self._link.pipeline([("HSET", key, "token", token), ("EXPIRE", key, lasts_s)])
        return secret

    async def find(self, secret: str) -> Session | None:
        """Find a session; None for one that is over or never was."""
        if not _SHAPE.fullmatch(secret):
            return None
        token, said = await self._link.ask("HMGET", _key(secret), "token", "said")
        return None if token is None else Session(token.decode(), (said or b"").decode())

    async def say(self, secret: str, said: str) -> None:
        """Keep a word for the next page; a session that is over keeps none."""
        key = _key(secret)
        _, open_ = await self._link.pipeline([("HSET", key, "said", said), ("HEXISTS", key, "token")])
        if not open_:
            await self._link.ask("DEL", key)

    async def heard(self, secret: str) -> None:
        """Forget the word: it was shown."""
        await self._link.ask("HDEL", _key(secret), "said")

    async def close(self, secret: str) -> None:
        if _SHAPE.fullmatch(secret):
            await self._link.ask("DEL", _key(secret))


def _key(secret: str) -> str:
    return keys.session(hashlib.sha256(secret.encode()).hexdigest())
