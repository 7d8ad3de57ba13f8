"""Messages that somebody was asked to sign: each is good once, until it expires."""

import re

import msgspec

from machines.core.clock import Millis
from machines.core.sign_in import SignInMessage
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import Link

_NONCE = re.compile(r"^Nonce: ([A-Za-z0-9]{8,64})$", re.MULTILINE)


class Challenges:
    """Keeps what was asked, and gives it back once."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def keep(self, message: SignInMessage) -> None:
        """Remember a message until it expires."""
        within_ms = message.expires_at - message.issued_at
        await self._link.ask("SET", keys.challenge(message.nonce), encode(message), "PX", within_ms)

    async def take(self, text: str, now: Millis) -> SignInMessage | None:
        """Give the message that somebody signed, and never again; None where we did not ask for exactly these words."""
        found = _NONCE.search(text)
        encoded = await self._link.ask("GETDEL", keys.challenge(found[1])) if found else None
        if encoded is None:
            return None
        message = msgspec.msgpack.decode(encoded, type=SignInMessage)
        return message if message.text == text and now < message.expires_at else None
