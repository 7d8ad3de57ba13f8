"""The rows of files of payouts, in portions: those to be paid, where they go encrypted, and the red ones with why.

What is read here is compared with the digest in the file's own record before any of it is paid.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec

from machines.core.clock import DAY, Millis
from machines.core.ids import Owner, RecordId, parse_id
from payflow.store import keys
from payflow.store.link import PAGE
from payflow.store.records import OverRecords
from payflow.store.scripts import SWAP

REMEMBERED_MS = 90 * DAY
"""From the last look at a file on: so long its results can be had."""
TWIN_DAYS = 7
"""So far back payees and amounts of other files are compared."""
_PAYABLE, _RED = "rows", "red"


class FileRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A row that can be paid."""

    number: int
    payout: RecordId
    """The one payout that it becomes, whenever and however often it is sent."""
    asset: str
    units: int
    method: str
    rail: str
    sealed: str
    """The destination, encrypted for that payout."""
    shown: str
    """The destination as people may see it."""
    place: str
    """Names the destination, however it is sealed."""
    fingerprint: str
    """Of amount and destination."""
    note: str = ""
    reference: str = ""
    """What whoever sent the file calls the row."""
    fee: int = 0
    """What the rail publishes that it takes."""
    twin: str = ""
    """The file that has the same payee and amount, of the last days; empty where none has."""

    def like(self, file: str) -> "FileRow":
        """Give it with the other file that has the same payee and amount."""
        return msgspec.structs.replace(self, twin=file)

    @property
    def means(self) -> tuple[str | int, ...]:
        """Say what it pays to whom, however it is sealed."""
        what = (self.number, self.payout, self.asset, self.units, self.method, self.rail, self.place)
        return (*what, self.fingerprint, self.note, self.reference)

    @property
    def print(self) -> str:
        """Name payee and amount."""
        return hashlib.sha256(f"{self.place} {self.asset} {self.units}".encode()).hexdigest()[:16]


class RedRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A row that is not paid."""

    number: int
    cell: str
    """Which of its cells is red; empty where it is the row as a whole."""
    why: str
    reference: str = ""


def digest_of(rows: Sequence[FileRow]) -> str:
    """Name rows by all that they pay."""
    return hashlib.sha256(msgspec.msgpack.encode([row.means for row in rows])).hexdigest()


class PayoutFileRows(OverRecords):
    """What is beside the records of files."""

    async def write(self, file: RecordId, place: int, rows: Sequence[FileRow]) -> None:
        """Keep a portion."""
        await self._write(file, f"{_PAYABLE}:{place}", rows)

    async def write_red(self, file: RecordId, place: int, rows: Sequence[RedRow]) -> None:
        """Keep some of the red rows."""
        await self._write(file, f"{_RED}:{place}", rows)

    async def _write(self, file: RecordId, name: str, rows: Sequence[FileRow] | Sequence[RedRow]) -> None:
        key = _key(file)
        await self._link.pipeline([("HSET", key, name, msgspec.msgpack.encode(rows)), ("PEXPIRE", key, REMEMBERED_MS)])

    async def read(self, file: RecordId, place: int) -> list[FileRow] | None:
        """Give a portion; None where it is not there any more."""
        found = await self._link.ask("HGET", _key(file), f"{_PAYABLE}:{place}")
        return None if found is None else msgspec.msgpack.decode(found, type=list[FileRow])

    async def red(self, file: RecordId, first: int = 0) -> AsyncIterator[RedRow]:
        """Walk over the red rows, in their order."""
        place = first
        while (found := await self._link.ask("HGET", _key(file), f"{_RED}:{place}")) is not None:
            for row in msgspec.msgpack.decode(found, type=list[RedRow]):
                yield row
            place += 1

    async def there(self, file: RecordId) -> bool:
        """Tell whether the rows of a file are still there."""
        return bool(await self._link.ask("EXISTS", _key(file)))

    async def remember(self, file: RecordId) -> None:
        """Keep them for as long again."""
        await self._link.ask("PEXPIRE", _key(file), REMEMBERED_MS)

    async def forget(self, file: RecordId) -> None:
        """Let go of what an upload wrote that came to nothing."""
        await self._link.ask("UNLINK", _key(file))

    async def existing(self, payouts: Sequence[RecordId]) -> set[RecordId]:
        """Tell which payouts were made already, archived ones too."""
        found: set[RecordId] = set()
        for begin in range(0, len(payouts), PAGE):
            some = payouts[begin : begin + PAGE]
            asked: list[tuple[str, ...]] = [("EXISTS", keys.record(one)) for one in some]
            asked += [("HEXISTS", keys.tombs(parse_id(one)[1]), one) for one in some]
            answers = await self._link.pipeline(asked)
            found.update(one for place, one in enumerate(some) if answers[place] or answers[place + len(some)])
        return found

    async def reseal(self, file: RecordId, portion: str, renew: Callable[[FileRow], FileRow]) -> bool:
        """Write the rows of a portion as they are sealed anew; False where that is not needed."""
        before = await self._link.ask("HGET", _key(file), portion)
        rows = msgspec.msgpack.decode(before, type=list[FileRow]) if before else []
        fresh = [renew(row) for row in rows]
        # Where somebody wrote it meanwhile, the next walk looks at it.
        return fresh != rows and await self._link.run(
            SWAP, [_key(file)], portion, before, msgspec.msgpack.encode(fresh)
        )

    async def portions(self, shard: int) -> AsyncIterator[tuple[RecordId, str]]:
        """Walk over all portions of the files of a shard."""
        async for key in self._link.keys(keys.file_rows(shard, "*")):
            for name in await self._link.ask("HKEYS", key):
                if name.startswith(_PAYABLE.encode()):
                    yield RecordId(key.rpartition(":")[2]), name.decode()

    # ── payees and amounts of the last days ──────────────────────────────────────────────────────────────────────────

    async def twins(self, owner: Owner, prints: Sequence[str], now: Millis) -> Mapping[str, str]:
        """By print, the newest file of the last days that has it."""
        shard = self._records.owner_shard(owner)
        today = now // DAY
        asked = [("HMGET", keys.file_prints(shard, owner, today - back), *prints) for back in range(TWIN_DAYS)]
        found: dict[str, str] = {}
        for answer in reversed(await self._link.pipeline(asked) if prints else []):
            found |= {name: file.decode() for name, file in zip(prints, answer, strict=True) if file}
        return found

    async def note_prints(self, file: RecordId, owner: Owner, prints: Sequence[str], now: Millis) -> None:
        """Remember payees and amounts of a file for some days."""
        key = keys.file_prints(self._records.owner_shard(owner), owner, now // DAY)
        words = [word for name in prints for word in (name, file)]
        if words:
            await self._link.pipeline([("HSET", key, *words), ("PEXPIRE", key, (TWIN_DAYS + 1) * DAY)])


def _key(file: RecordId) -> str:
    return keys.file_rows(parse_id(file)[1], file)
