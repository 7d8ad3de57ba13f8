"""The rows beside the records: who may do what, where somebody is paid, what is paused. One that is false is not there.

A store that an older version made has rows without signatures. They are signed once, at the first start of a version
that signs; from then on a row without one is as false as one with a wrong one. That this was done is written down in
the store and beside it: nobody has it done again, over what they wrote, by taking the mark out of the store. Then they
are listed, once in the same way, see row_list.py.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import structlog

from machines.core.clock import DAY, Millis
from machines.core.errors import StoreUnfit
from payflow.store import keys
from payflow.store.link import Link
from payflow.store.macs import Forged, of_text
from payflow.store.pauses import SIGNATURE
from payflow.store.request_lists import REQUESTS_LISTED, RequestLists
from payflow.store.row_list import Asked, Row
from payflow.store.scripts import RESIGN

SIGNED = "signed"
MARK, LISTED = "signed-rows", "listed-rows"
TIMED = "timed"
MOST_TRIES = 10
"""So often a row that changes while it is signed is read again."""
_BEGUN = "signing"
_MAC, _ANY = re.compile(b"mac"), re.compile(b".+", re.DOTALL)
# Keys, which of their fields are rows, and how long one may lie there that ends by itself.
_HASHES = (
    (keys.token("*"), _MAC, 0),
    (keys.session("*"), _MAC, DAY),
    ("{pf:??}:provider:*", _MAC, 0),
    ("{pf:??}:contributor:*", _MAC, 0),
    ("{pf:??}:setting:*", _MAC, 0),
    (keys.SUBJECTS, _ANY, 0),
    (keys.PERSONS, re.compile(b"person:.+", re.DOTALL), 0),
    (keys.PLATFORMS, _ANY, 0),
    (keys.webhook_endpoints("*"), _ANY, 0),
    (keys.passkeys("*"), _ANY, 0),
    (keys.PROPOSED, _ANY, 365 * DAY),
    (keys.TOKENS, re.compile(b".*:.*", re.DOTALL), 0),
    (keys.PAUSE, re.compile(SIGNATURE), 0),
    (keys.META, re.compile(REQUESTS_LISTED.encode()), 0),
)
_STRINGS = (keys.sign_in_link("*"), keys.login("*"))
_PLACE = f"{keys.META} {SIGNED}"

log = structlog.get_logger()


class Register(Protocol):
    """Rows of one kind."""

    def sign(self) -> AsyncIterator[str]:
        """Sign anew, with the newest key, all that is trusted; name what is not."""


async def sign_hashes(link: Link, shape: str, loose: frozenset[bytes]) -> AsyncIterator[str]:
    """Sign anew, with the newest key, all hashes of a shape that are trusted; name those that are not."""
    macs = link.macs
    for key in [one async for one in link.keys(shape)]:
        for _ in range(MOST_TRIES):
            row = Row(key, "mac")
            (fields,) = await link.rows.read_all(link, [Asked(row, ("HGETALL", key), lambda one: one.get(b"mac"))])
            if not fields:
                break  # it ended this moment
            if isinstance(fields, Forged) or not macs.trusts_fields(key, fields, loose):
                yield key
                break
            if macs.is_current_field(fields.get(b"mac", b"")):
                break
            mac = macs.sign_fields(key, fields, loose)
            async with link.rows.changing(link, row, mac):
                signed = await link.run(RESIGN, [key], mac, *(part for pair in fields.items() for part in pair))
            if signed:
                break


class SignedRows:
    """All of them."""

    def __init__(
        self,
        link: Link,
        folder: Path,
        store_id: str,
        registers: Sequence[Register],
        requests: RequestLists,
        now: Callable[[], Awaitable[Millis]],
    ) -> None:
        self._now = now
        self._link = link
        self._mark = folder / MARK
        self._listed = folder / LISTED
        self._store_id = store_id
        self._registers = (*registers, requests)
        self._requests = requests

    async def begin(self) -> None:
        """Be strict from now on; the first time that anybody is, all that is there is signed."""
        macs = self._link.macs
        signature = await self._link.ask("HGET", keys.META, SIGNED)
        if not macs.ready:
            if signature is not None:
                raise StoreUnfit(
                    f"What is in the store at {self._link.place} is signed, and this process has no key: set "
                    "PAYFLOW_SEAL_KEYS to what the other processes have."
                )
            return
        if signature is None and not await self._is_first():
            # Another process may have been through with it between our two questions.
            signature = await self._link.ask("HGET", keys.META, SIGNED)
            if signature is None:
                raise StoreUnfit(
                    f"The store at {self._link.place} says that nothing in it was ever signed, and it was: somebody "
                    "took that out beside Payflow. Restore the last backup (deploy/operations/restore.md)."
                )
        if signature is not None:
            macs.refuse_forged(_PLACE, of_text(signature), self._store_id)
        else:
            await self._link.ask("HSET", keys.META, _BEGUN, macs.sign(_BEGUN, self._store_id).hex())
            has_tokens = bool([key async for key in self._link.keys(keys.token("*"))])  # else it is a new one
            async for place in self.faults():
                log.warning("A row was not signed, for it is not what it says.", action="not_signed", place=place)
            await self._link.ask("HDEL", keys.META, _BEGUN)
            if has_tokens:
                log.warning("Every row of the store was signed as it was.", action="rows_signed", store=self._store_id)
        macs.strict = True
        await self._begin_list()
        if not self._is_marked():
            self._mark.write_text(self._store_id, "ascii")

    async def begin_again(self, store_id: str) -> None:
        """Sign what is there, where a person takes for the truth a store that was begun anew."""
        if store_id != self._store_id:
            self._store_id = store_id
            self._link.macs.strict = self._link.rows.strict = False
            await self.begin()

    # ── listed ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _begin_list(self) -> None:
        """List what is there, the first time that anybody is strict; whoever takes the list away stops all of it."""
        rows = self._link.rows
        if not await rows.is_begun(self._link):
            if self._is_listed():
                log.error("The list of rows was taken away: run `payflow reconcile`.", action="forged", place=LISTED)
            else:
                adopted = int(await self._link.ask("HGET", keys.META, "adopted") or 0)
                await self._link.ask("HSET", keys.META, "adopted_by", rows.sign("adopted", self._store_id, adopted))
                now = await self._now()
                await self._link.ask("HSET", keys.META, TIMED, f"{now} {rows.sign(TIMED, self._store_id, now)}")
                await rows.begin(self._link, self._there(), adopted)
        rows.strict = True
        if not self._is_listed():
            self._listed.write_text(self._store_id, "ascii")

    async def timed_since(self) -> Millis:
        """Say since when postings say their time: when the list was begun, in the version that began with both."""
        at, _, sign = (await self._link.ask("HGET", keys.META, TIMED) or b"0").decode(errors="replace").partition(" ")
        is_ours = at.isdigit() and sign == self._link.rows.sign(TIMED, self._store_id, int(at))
        return Millis(int(at) if is_ours else 0)

    def _is_listed(self) -> bool:
        return self._listed.exists() and self._listed.read_text("ascii") == self._store_id

    async def believe(self, at: int) -> None:
        """Take what is there for what it should be: a person says so. Who had signed in signs in again."""
        if self._link.macs.ready:
            newest = max((one.epoch for one in self._link.rows.newest.values()), default=0)
            for shape in (keys.session("*"), *_STRINGS):
                for key in [one async for one in self._link.keys(shape)]:
                    await self._link.ask("DEL", key)
            await self._link.rows.begin(self._link, self._there(), max(at, newest + 1))
            await self._requests.believe()

    async def _there(self) -> AsyncIterator[tuple[Row, bytes, int]]:
        """Walk over all rows; the last figure says how long one may lie there that ends by itself."""
        link = self._link
        for shape in _STRINGS:
            async for key in link.keys(shape):
                value = await link.ask("GET", key)
                if value is not None:
                    yield Row(key), value, DAY
        for shape, wanted, lasts_ms in _HASHES:
            async for key in link.keys(shape):
                for name, value in (await link.ask("HGETALL", key)).items():
                    if wanted.fullmatch(name):
                        yield Row(key, name.decode(errors="replace")), value, lasts_ms

    async def _is_first(self) -> bool:
        """Whether nothing here was ever signed, or whoever began with it did not finish."""
        begun = await self._link.ask("HGET", keys.META, _BEGUN)
        if begun is None:
            return not self._is_marked() and not await self._was_signed()
        self._link.macs.refuse_forged(_BEGUN, of_text(begun), self._store_id)
        return True

    async def _was_signed(self) -> bool:
        """Whether anything says that it was signed, though the mark says that nothing ever was."""
        stated = [key async for key in self._link.keys("{pf:??}:posted")]
        return bool(stated) or bool(await self._link.ask("HEXISTS", keys.PAUSE, SIGNATURE.decode()))

    def _is_marked(self) -> bool:
        return self._mark.exists() and self._mark.read_text("ascii") == self._store_id

    def unlisted(self) -> AsyncIterator[str]:
        """Walk over the list of rows: name each that was put back or taken away, and what is wrong with the list."""
        return self._link.rows.faults(self._link, {})

    async def faults(self) -> AsyncIterator[str]:
        """Sign anew, with the newest key, every row that is trusted; name those that nobody of us wrote as they are."""
        for register in self._registers:
            async for place in register.sign():
                yield place
        async for place in self.unlisted():
            yield place
        adopted, sign = await self._link.ask("HMGET", keys.META, "adopted", "adopted_by")
        signature = self._link.rows.sign("adopted", self._store_id, int(adopted or 0))
        if self._link.rows.strict and signature.encode() != sign:
            yield f"{keys.META} adopted"
        if self._link.rows.strict and not await self.timed_since():
            yield f"{keys.META} {TIMED}"
        macs = self._link.macs
        signature = await self._link.ask("HGET", keys.META, SIGNED)
        if macs.ready and (signature is None or not macs.is_current_field(signature)):
            await self._link.ask("HSET", keys.META, SIGNED, macs.sign(_PLACE, self._store_id).hex())
