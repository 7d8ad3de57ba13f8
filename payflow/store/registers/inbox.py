"""Webhook deliveries that were taken in, so that the same news is taken in once."""

import hashlib
from dataclasses import dataclass

import msgspec

from machines.core.clock import DAY
from machines.core.ports import Notice
from payflow.store import keys
from payflow.store.link import Link

# Gateways deliver again for hours; a record is looked at by itself long before this is over.
LASTS_MS = 7 * DAY


@dataclass
class Inbox:
    """The deliveries of one source."""

    link: Link
    source: str

    async def knows(self, notice: Notice) -> bool:
        return bool(await self.link.ask("EXISTS", self._key(notice)))

    async def keep(self, notice: Notice) -> None:
        """Remember the news, and what it said, for some days."""
        said = msgspec.msgpack.encode((notice.references, notice.handle, notice.said))
        await self.link.ask("SET", self._key(notice), said, "PX", LASTS_MS)

    def _key(self, notice: Notice) -> str:
        # Hashed, because the gateway chooses what it is called and how long that is. What it says belongs to the
        # name: a gateway that uses one name for two pieces of news must not keep us from looking at the second.
        said = "\0".join((notice.delivery, notice.handle, notice.said, *notice.references))
        return keys.inbox(self.source, hashlib.sha256(said.encode()).hexdigest())
