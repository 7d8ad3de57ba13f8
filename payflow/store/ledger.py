"""The books: accounts, the journal, and the proof that both say the same as the records."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from machines.core.ids import Owner
from machines.core.lifecycle import Position
from payflow.store import keys
from payflow.store.link import Link
from payflow.store.listing import MOST_READS, PAGE, Listing
from payflow.store.records import Records


@dataclass(slots=True)
class Account:
    """One owner's money in one asset, in ledger units."""

    available: int = 0
    held: int = 0
    paid: int = 0
    funded: int = 0
    owed: int = 0

    @property
    def imbalance(self) -> int:
        """What `funded + owed` and `available + held + paid` differ by: always zero."""
        return self.funded + self.owed - self.available - self.held - self.paid

    def add(self, other: "Account") -> None:
        """Add another account to this one."""
        for name in ("available", "held", "paid", "funded", "owed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def post(self, entry: "Entry") -> None:
        """Add a posting."""
        self.owed += entry.owed
        for name, units in ((entry.source, -entry.units), (entry.target, entry.units)):
            if name == "outside":
                self.funded -= units
            elif name == Position.AVAILABLE:
                self.available += units + (entry.owed if entry.owed * units < 0 else 0)
            else:
                setattr(self, name, getattr(self, name) + units)


@dataclass(frozen=True, slots=True)
class Entry:
    """One posting of the journal."""

    id: str
    owner: Owner
    asset: str
    source: str
    target: str
    units: int
    owed: int
    """By how much the owner's debt changed."""
    cause: str


@dataclass(slots=True)
class Books:
    """What a walk over the whole ledger found."""

    totals: dict[str, Account] = field(default_factory=dict)
    accounts: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def conserved(self) -> bool:
        """Whether nothing was lost and nothing was made."""
        return not self.faults


Place = tuple[Owner, str]
"""An owner and an asset."""
Sums = defaultdict[Place, Account]


class Ledger:
    """Accounts and journal of all shards."""

    def __init__(self, link: Link, records: Records, listing: Listing) -> None:
        self._link = link
        self._records = records
        self._listing = listing

    async def account(self, owner: Owner) -> dict[str, Account]:
        """Read an owner's accounts, by asset."""
        return accounts_of(await self._link.ask("HGETALL", keys.account(self._records.owner_shard(owner), owner)))

    async def journal(self, shard: int) -> AsyncIterator[Entry]:
        """Walk over the postings of a shard, oldest first."""
        start = "-"
        while True:
            page = await self._link.ask("XRANGE", f"{keys.prefix(shard)}journal", start, "+", "COUNT", PAGE)
            for entry_id, fields in page:
                yield entry_of(entry_id, fields)
            if len(page) < PAGE:
                return
            start = f"({page[-1][0].decode()}"

    async def check(self) -> Books:
        """Prove conservation: accounts against themselves, against the journal, and HELD against the records that hold.

        Payments may go on meanwhile: what seems wrong is read again, and is wrong if it was so twice while its account
        did not change.
        """
        books = Books()
        for shard in range(self._records.shards):
            kept = await self._kept(shard)
            for (_, asset), account in kept.items():
                books.accounts += 1
                books.totals.setdefault(asset, Account()).add(account)
            books.faults += await self._faults(shard, kept)
        return books

    async def _faults(self, shard: int, kept: Sums) -> list[str]:
        faults: dict[Place, list[str]] = {}
        seen: Counter[Place] = Counter()
        for _ in range(1 + MOST_READS):
            wrong = await self._wrong(shard, kept)
            if not wrong:
                break
            again = await self._kept(shard)
            stood_still = [place for place in wrong if again[place] == kept[place]]
            seen.update(stood_still)
            faults |= {place: wrong[place] for place in stood_still}
            kept = again
        return [fault for place in sorted(faults) if seen[place] > 1 for fault in faults[place]]

    async def _wrong(self, shard: int, kept: Sums) -> dict[Place, list[str]]:
        posted, held = await self._posted(shard), await self._held(shard)
        wrong: dict[Place, list[str]] = {}
        for place in kept.keys() | posted.keys() | held.keys():
            account, sums, holding = kept[place], posted[place], held[place].held
            name = " ".join(place)
            found = {
                f"{name}: funded + owed and available + held + paid differ by {account.imbalance}.": account.imbalance,
                f"{name}: the account is {account}, the journal sums to {sums}.": account != sums,
                f"{name}: {account.held} is held, the records that hold sum to {holding}.": account.held != holding,
            }
            if any(found.values()):
                wrong[place] = [fault for fault, is_so in found.items() if is_so]
        return wrong

    async def _kept(self, shard: int) -> Sums:
        kept: Sums = defaultdict(Account)
        prefix = f"{keys.prefix(shard)}acct:"
        async for key in self._listing.keys(f"{prefix}*"):
            owner = Owner(key.removeprefix(prefix))
            for asset, account in accounts_of(await self._link.ask("HGETALL", key)).items():
                kept[owner, asset] = account
        return kept

    async def _posted(self, shard: int) -> Sums:
        posted, _ = await self.checkpoint(shard)
        async for entry in self.journal(shard):
            posted[entry.owner, entry.asset].post(entry)
        return posted

    async def checkpoint(self, shard: int) -> tuple[Sums, str]:
        """Give what the postings that were archived sum to, and which was the last of them; '' where none was."""
        sums: Sums = defaultdict(Account)
        until = ""
        for name, value in (await self._link.ask("HGETALL", keys.checkpoint(shard))).items():
            if name == b"until":
                until = value.decode()
                continue
            owner, asset = name.decode().split(" ")
            sums[Owner(owner), asset] = Account(*map(int, value.split()))
        return sums, until

    async def _held(self, shard: int) -> Sums:
        held: Sums = defaultdict(Account)
        for machine in self._records.machines.values():
            holding = [state.name for state in machine.lifecycle.states.values() if state.position is Position.HELD]
            # A record that moves on meanwhile may stand in two of these indexes: it counts once, where it is now.
            ids = list(
                dict.fromkeys(
                    [
                        record_id
                        for state in holding
                        async for record_id, _ in self._listing.scan(keys.members(shard, machine.name, state))
                    ]
                )
            )
            for start in range(0, len(ids), PAGE):
                commands = [
                    ("HMGET", keys.record(one), "state", "owner", "asset", "units") for one in ids[start : start + PAGE]
                ]
                for state, owner, asset, units in await self._link.pipeline(commands):
                    if state is not None and state.decode() in holding:
                        held[Owner(owner.decode()), asset.decode()].held += int(units)
        return held


def accounts_of(fields: dict[bytes, bytes]) -> dict[str, Account]:
    """Read an owner's accounts, by asset, as they are kept."""
    accounts: dict[str, Account] = {}
    for name, units in fields.items():
        asset, _, part = name.decode().partition(".")
        setattr(accounts.setdefault(asset, Account()), part, int(units))
    return accounts


def entry_of(entry_id: bytes, fields: object) -> Entry:
    """Read a posting as it is kept."""
    values = list(fields.values()) if isinstance(fields, dict) else list(fields)[1::2]  # type: ignore[call-overload]
    owner, asset, source, target, units, owed, cause = values[0].decode().split(" ", 6)
    return Entry(entry_id.decode(), Owner(owner), asset, source, target, int(units), int(owed), cause)
