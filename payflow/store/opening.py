"""The rails' side of a store that an older version wrote: posted once, from its records, and shown before.

Each record keeps what of it is posted, so that it is posted once however often this is begun, and may be while others
go on. What owners' accounts say that is paid and no record accounts for goes to a rail that is called unknown.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from machines.core.errors import BadInput
from machines.core.ids import RecordId, parse_id
from machines.core.rail_share import RailPart, RailShare, changes, written
from payflow.store import keys
from payflow.store.accounts import RailAccount, RailKey, Sums, sides_of
from payflow.store.archive import changed_stub
from payflow.store.codec import encode
from payflow.store.ledger import RAILS_OPENED, Ledger, PostedSums
from payflow.store.link import Link, paged
from payflow.store.rail_side import RailOp, posted, rail_account
from payflow.store.records import OverRecords, Records
from payflow.store.scripts import OPEN_RAILS
from payflow.store.stored import read_stub

UNKNOWN = "unknown"
"""The rail over which that was paid which no record accounts for."""
_TOO_LARGE = -3


class Unposted(NamedTuple):
    """A record, or what is left of one, that has another share of its rail's side than is posted."""

    id: RecordId
    seen: bytes
    """Its version, or its tombstone."""
    before: str
    share: str
    fresh: bytes
    """Its tombstone as it becomes; empty for a record."""

    @property
    def words(self) -> tuple[str | bytes, ...]:
        """As the script takes it."""
        return ("tomb" if self.fresh else "rec", self.id, self.seen, self.before, self.fresh or self.share)


@dataclass(slots=True)
class RailsOpening:
    """What the opening posts, or posted."""

    records: int = 0
    rails: dict[RailKey, RailAccount] = field(default_factory=lambda: defaultdict(RailAccount))

    def count(self, some: Iterable[Unposted]) -> None:
        for one in some:
            self.records += 1
            for rail, asset, figures in changes(one.before, one.share):
                self.rails[rail, asset].add(RailAccount(figures))

    def count_unknown(self, asset: str, fine: int) -> None:
        """Count what owners were paid, by their accounts, and no record accounts for."""
        _, _, figures = next(changes("", written(RailShare(UNKNOWN, asset, {RailPart.SETTLED: fine}))))
        self.rails[UNKNOWN, asset].add(RailAccount(figures))


class Opening(OverRecords):
    """Reads what is not posted, and posts it."""

    def __init__(self, link: Link, records: Records, ledger: Ledger) -> None:
        super().__init__(link, records)
        self._ledger = ledger

    async def preview(self) -> RailsOpening:
        """Work out what would be posted; nothing is written."""
        found = RailsOpening()
        for shard in range(self._records.shards):
            sums = await self._ledger.walk(shard, PostedSums())
            async for page in paged(self._unposted(shard)):
                found.count(page)
                for one in page:
                    for rail, asset, figures in changes(one.before, one.share):
                        sums.on_rail((rail_account(rail), asset)).add(RailAccount(figures))
            for asset, missing in missing_on_rails(sums).items():
                found.count_unknown(asset, missing)
        return found

    async def post(self) -> RailsOpening:
        """Post it, and have both sides compared from now on."""
        done = RailsOpening()
        for shard in range(self._records.shards):
            async for page in paged(self._unposted(shard)):
                await self._post(shard, page, done)
            for asset, missing in missing_on_rails(await self._ledger.walk(shard, PostedSums())).items():
                share = written(RailShare(UNKNOWN, asset, {RailPart.SETTLED: missing}))
                await self._write(shard, [], [("", share)], "what owners were paid and no record accounts for")
                done.count_unknown(asset, missing)
        await self._link.ask("HSETNX", keys.META, RAILS_OPENED, await self._records.now())
        return done

    async def _post(self, shard: int, page: list[Unposted], done: RailsOpening) -> None:
        why = f"{len(page)} records from {page[0].id} on"
        if await self._write(shard, page, [(one.before, one.share) for one in page], why):
            done.count(page)
            return
        for one in page:  # some of them moved meanwhile, and what moves posts itself
            if await self._write(shard, [one], [(one.before, one.share)], one.id):
                done.count([one])

    async def _write(self, shard: int, rows: list[Unposted], shares: list[tuple[str, str]], why: str) -> bool:
        sums: dict[RailKey, RailAccount] = defaultdict(RailAccount)
        for before, share in shares:
            for rail, asset, figures in changes(before, share):
                sums[rail, asset].add(RailAccount(figures))
        now = await self._records.now()
        op = RailOp("", [], [])
        for (rail, asset), account in sums.items():
            if not account.figures:
                continue
            one = posted(self._records.macs, "", f"{rail} {asset} {account.figures}", f"opened {now}: {why}", now)
            op.changes += one.changes
            op.postings += one.postings
        words = [word for row in rows for word in row.words]
        answer = await self._link.run(
            OPEN_RAILS, [keys.sequence(shard)], len(rows), *words, len(op.changes) // 2, *op.changes, *op.postings
        )
        if answer == _TOO_LARGE:
            raise BadInput("What the records sum to is more than the books of a rail hold.")
        return bool(answer)

    async def _unposted(self, shard: int) -> AsyncIterator[Unposted]:
        shares = {name: one.rail_share for name, one in self._records.machines.items() if one.rail_share}
        async for page in paged(self._ids(shard)):
            for stored in await self._records.readable(one for one in page if parse_id(one)[0] in shares):
                record = stored.record
                share = written(shares[record.machine](record))
                if share != stored.share:
                    yield Unposted(record.id, b"%d" % record.version, stored.share, share, b"")
        for machine, share_of in shares.items():
            async for name, content in self._link.fields(keys.tombs(shard), f"{machine}-*"):
                record_id, stub = RecordId(name), read_stub(content)
                share = written(share_of(self._records.as_left(record_id, stub)))
                if share != stub.share:
                    fresh = changed_stub(self._records.macs, record_id, stub, share=share)
                    yield Unposted(record_id, content, stub.share, share, encode(fresh))

    async def _ids(self, shard: int) -> AsyncIterator[RecordId]:
        async for key in self._link.keys(keys.records(shard, "*")):
            yield RecordId(key.partition(":rec:")[2])


def missing_on_rails(sums: Sums) -> dict[str, int]:
    """Say by how much more is paid by owners' accounts than by the rails', by asset, where that is not the same."""
    return {asset: one.paid - one.on_rails for asset, one in sides_of(sums).items() if not one.agree}
