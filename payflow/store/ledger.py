"""The books: accounts, the journal, and the proof that both say the same as the records."""

import hashlib
import heapq
import re
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import NamedTuple

from machines.core.clock import DAY, MINUTE, Millis
from machines.core.ids import Owner, is_id
from machines.core.lifecycle import Position
from payflow.store import keys
from payflow.store.codec import encode, read_event
from payflow.store.link import PAGE, paged
from payflow.store.macs import Forged, of_text
from payflow.store.records import OverRecords
from payflow.store.scripts import CORRECT, SWAP
from payflow.store.stored import read_stub

# How often what seems wrong is read again before it is said to be wrong.
MOST_READS = 3
# No stream numbers more entries of one millisecond.
MOST_AT_ONCE = 2**64 - 1
FEW_FRESH = 4_096
CORRECTED = "corrected by "
"""What the cause of a correction begins with."""
_CHECK = "books"
_NEWEST = (2**64, 0)
_STATED = "stated"
_SEAL = re.compile(r"\d+\.[A-Za-z0-9_-]{27}")


@dataclass(slots=True)
class LedgerAccount:
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

    @property
    def overdrawn(self) -> bool:
        """Whether there is less than nothing anywhere, with which nobody may reckon."""
        return min(self.available, self.held, self.paid, self.funded, self.owed) < 0

    @property
    def figures(self) -> str:
        """Its figures in turn, as a checkpoint keeps them."""
        return f"{self.available} {self.held} {self.paid} {self.funded} {self.owed}"

    def add(self, other: "LedgerAccount") -> None:
        for name in ("available", "held", "paid", "funded", "owed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def owes(self, entry: "Posting") -> int:
        """Say how a posting changes what is owed: what comes in settles it, what was not there to leave is owed."""
        if entry.target == Position.AVAILABLE:
            return -min(self.owed, entry.units)
        if entry.source == Position.AVAILABLE and entry.target != Position.HELD:
            return max(0, entry.units - self.available)
        return 0

    def post(self, entry: "Posting") -> None:
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
class Posting:
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
    seal: str = ""
    """The signature that its commit wrote behind the cause."""

    @property
    def number_in_seal(self) -> int:
        """The version of its record that made it; of other postings the time, none where an older version made it."""
        return int(self.seal.partition(".")[0] or 0)

    @property
    def number(self) -> int:
        """Its place among those of one millisecond."""
        return int(self.id.partition("-")[2])


@dataclass(frozen=True, slots=True)
class Difference:
    """An account that is not what the journal or the records say."""

    owner: Owner
    asset: str
    account: LedgerAccount
    journal: LedgerAccount
    """What the postings sum to."""
    holding: int
    """What the records that hold sum to."""

    @property
    def account_agrees(self) -> bool:
        """Whether the account agrees with itself and with the records."""
        return not self.account.imbalance and self.account.held == self.holding

    @property
    def journal_agrees(self) -> bool:
        """Whether the journal agrees with itself and with the records."""
        return not self.journal.imbalance and self.journal.held == self.holding

    @property
    def journal_is_false(self) -> bool:
        """Whether it is a posting that is missing, or too many, and not the account."""
        return self.account_agrees and not self.journal_agrees

    def missing_posting(self) -> str | None:
        """Give the one posting that makes the journal say what the account says; None where none does."""
        parts = ("available", "held", "paid", "funded", "owed")
        lacks = LedgerAccount(*(getattr(self.account, part) - getattr(self.journal, part) for part in parts))
        places = ("outside", Position.AVAILABLE, Position.HELD, Position.PAID)
        for units in sorted({abs(getattr(lacks, part)) for part in parts} - {0}):
            for source, target in permutations(places, 2):
                entry = Posting("", self.owner, self.asset, source, target, units, lacks.owed, "")
                sums = LedgerAccount()
                sums.post(entry)
                if sums == lacks:
                    return f"{source} {target} {units} {lacks.owed}"
        return None

    def said(self) -> list[str]:
        """Say what differs."""
        name, account = f"{self.owner} {self.asset}", self.account
        found = {
            f"{name}: funded + owed and available + held + paid differ by {account.imbalance}.": account.imbalance,
            f"{name}: the account is {account}, the journal sums to {self.journal}.": account != self.journal,
            f"{name}: {account.held} is held, the records that hold sum to {self.holding}.": account.held
            != self.holding,
            f"{name}: there is less than nothing in the account, {account}.": account.overdrawn,
        }
        return [fault for fault, is_so in found.items() if is_so]


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """Whether the books were true, and when that was found."""

    at: Millis
    conserved: bool


@dataclass(slots=True)
class LedgerReport:
    """What a walk over the whole ledger found."""

    totals: dict[str, LedgerAccount] = field(default_factory=dict)
    accounts: int = 0
    differences: list[Difference] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """What is kept in a form that no Payflow writes; whose money that is cannot be told."""
    forged: dict[Owner, str] = field(default_factory=dict)
    """Whose money was moved by postings that no commit of ours wrote, however well the figures agree."""

    @property
    def faults(self) -> list[str]:
        said = (fault for one in self.differences for fault in one.said())
        return [*self.unreadable, *self.forged.values(), *said]

    @property
    def conserved(self) -> bool:
        """Whether nothing was lost and nothing was made."""
        return not self.differences and not self.unreadable and not self.forged


class CreditedDay(NamedTuple):
    """A day, whose earnings, and in what."""

    day: int
    platform: str
    asset: str


class Statement(NamedTuple):
    """What was signed of the oldest postings of a shard."""

    last: tuple[int, int]
    """Its newest one; those after it are signed one by one."""
    digest: str
    """Of their sums."""
    due: bool
    """Whether that is still to be compared."""


AccountKey = tuple[Owner, str]
"""An owner and an asset."""
Sums = defaultdict[AccountKey, LedgerAccount]


class SeenSeals:
    """Numbers that were seen, in some 10 bytes each: most lie sorted, the newest few wait to be sorted in."""

    def __init__(self) -> None:
        self._sorted = array("Q")
        self._fresh: set[int] = set()

    def __contains__(self, number: int) -> bool:
        place = bisect_left(self._sorted, number)
        return number in self._fresh or (place < len(self._sorted) and self._sorted[place] == number)

    def __len__(self) -> int:
        return len(self._sorted) + len(self._fresh)

    def add(self, number: int) -> None:
        self._fresh.add(number)
        if len(self._fresh) > max(FEW_FRESH, len(self._sorted) // 32):
            self._sorted = array("Q", sorted([*self._sorted, *self._fresh]))
            self._fresh = set()


@dataclass(slots=True)
class ShardSums:
    """What the postings of a shard summed to, up to one of them."""

    sums: Sums
    until: str
    """The posting that the checkpoint ended with."""
    stated: bytes | None
    """What was stated of the oldest ones."""
    last: str = ""
    """The last one that is in the sums."""
    seen: "SeenSeals" = field(default_factory=SeenSeals)
    """The seals of all signed postings: none counts twice."""
    forged: dict[Owner, str] = field(default_factory=dict)
    older_key: bool = False
    """Whether any of them is signed with an older key than the newest."""
    earned: "dict[CreditedDay, Counter[Owner]]" = field(default_factory=dict)
    """What platforms credited to whom, on the newest day of which something was read."""


@dataclass(slots=True)
class PostedSums:
    """The sums of each shard, so that the next walk reads only the postings that came since."""

    shards: dict[int, ShardSums] = field(default_factory=dict)

    def earned_on(self, day: int) -> "dict[tuple[str, str], Counter[Owner]]":
        """Say what each platform credited in an asset on a day, to whom; but for the first minute of it."""
        found: dict[tuple[str, str], Counter[Owner]] = {}
        for one in self.shards.values():
            for (earned_on, *place), units in one.earned.items():
                if earned_on == day:
                    found.setdefault((place[0], place[1]), Counter()).update(units)
        return found

    @property
    def forged(self) -> dict[Owner, str]:
        """Whose money was moved by postings that no commit of ours wrote, and what is wrong."""
        return {owner: why for one in self.shards.values() for owner, why in one.forged.items()}


class PlacedPosting(NamedTuple):
    """A posting, when it was made and where it is kept."""

    at: Millis
    shard: int
    posting: Posting


class JournalCursor(NamedTuple):
    """A place in the journal of all shards: a moment, and how many postings of it were seen."""

    at: Millis
    seen: int


class Ledger(OverRecords):
    """Accounts and journal of all shards."""

    timed_since = Millis(0)
    """Since when each posting that is of no record says when it was made."""
    outside: Mapping[int, tuple[str, str]] = {}
    """What was written down outside the store: up to which posting of a shard, and what they sum to."""

    async def account(self, owner: Owner) -> dict[str, LedgerAccount]:
        return accounts_of(await self._link.ask("HGETALL", keys.account(self._records.owner_shard(owner), owner)))

    async def journal(self, shard: int, after: str = "") -> AsyncIterator[Posting]:
        """Walk over the postings of a shard that came after one, oldest first."""
        async for entry_id, fields in self._link.entries(keys.journal(shard), after):
            yield posting_of(entry_id, fields)

    async def check(self, posted: PostedSums | None = None) -> LedgerReport:
        """Prove conservation: accounts against themselves, against the journal, and HELD against the records that hold.

        Payments may go on meanwhile: what seems wrong is read again, and is wrong if it was so twice while its account
        did not change. With what an earlier walk `posted` only newer postings are read.
        """
        books = LedgerReport()
        for shard in range(self._records.shards):
            try:
                accounts = await self._accounts_of(shard)
                for (_, asset), account in accounts.items():
                    books.accounts += 1
                    books.totals.setdefault(asset, LedgerAccount()).add(account)
                sums = posted if posted is not None else PostedSums()
                books.differences += await self._differences(shard, accounts, sums)
                books.forged |= sums.shards[shard].forged
            except (ValueError, AttributeError, IndexError) as error:
                books.unreadable.append(f"Accounts or journal of shard {shard:02d} cannot be read: {error}.")
        return books

    async def difference(self, owner: Owner, asset: str) -> Difference | None:
        """Say what is wrong with one account; None when nothing is."""
        shard = self._records.owner_shard(owner)
        found = await self._differences(shard, await self._accounts_of(shard), PostedSums())
        return next((one for one in found if (one.owner, one.asset) == (owner, asset)), None)

    async def correct(self, found: Difference, *, becomes: str, posting: str, cause: str) -> bool:
        """Write what two people decided, unless the account moved since; a posting is `source target units owed`."""
        key = keys.sequence(self._records.owner_shard(found.owner))
        entry = ""
        if posting:
            source, target, units, owed = posting.split(" ")
            number = await self._records.now()
            # With what it changes of the debt, where no move would have changed it so.
            owes = found.journal.owes(Posting("", found.owner, found.asset, source, target, int(units), 0, ""))
            signed = units if owes == int(owed) else f"{units} {owed}"
            seal = self._records.macs.seal_posting((found.owner, found.asset, source, target, signed, cause), number)
            entry = f"{found.owner} {found.asset} {posting} {cause}{seal}"
        words = (found.owner, found.asset, found.account.figures, becomes, entry)
        return bool(await self._link.run(CORRECT, [key], *words))

    async def remember(self, check: LedgerCheck) -> None:
        """Keep what a walk found in place of what the one before did, for every process to tell."""
        await self._link.ask("HSET", keys.META, _CHECK, f"{check.at} {int(check.conserved)}")

    async def last_check(self) -> LedgerCheck | None:
        """Give what the last walk found; None while nobody has walked over the books."""
        found = await self._link.ask("HGET", keys.META, _CHECK)
        if found is None:
            return None
        at, conserved = found.split()
        return LedgerCheck(Millis(int(at)), conserved == b"1")

    async def postings(
        self, limit: int, after: JournalCursor | None = None
    ) -> tuple[list[PlacedPosting], JournalCursor | None]:
        """List postings of all owners, the newest first, behind a turn; and the turn where the next ones begin."""
        newest, seen = ("+", 0) if after is None else (f"{after.at}-{MOST_AT_ONCE}", after.seen)
        wanted = seen + limit + 1
        commands = [
            ("XREVRANGE", keys.journal(shard), newest, "-", "COUNT", wanted) for shard in range(self._records.shards)
        ]
        found = [
            PlacedPosting(Millis(int(entry_id.partition(b"-")[0])), shard, posting_of(entry_id.decode(), fields))
            for shard, answer in enumerate(await self._link.pipeline(commands))
            for entry_id, fields in answer
        ]
        page = heapq.nlargest(wanted, found, key=lambda one: (one.at, one.shard, one.posting.number))[seen:]
        if len(page) <= limit:
            return page, None
        last = page[limit - 1].at
        together = sum(1 for one in page[:limit] if one.at == last)
        return page[:limit], JournalCursor(last, together + (seen if after and after.at == last else 0))

    async def totals(self) -> dict[str, LedgerAccount]:
        """Add up the accounts of all owners, by asset: as many reads as there are accounts, in pages."""
        sums: dict[str, LedgerAccount] = {}
        async for names in paged(self._link.keys("{pf:??}:acct:*")):
            for fields in await self._link.pipeline([("HGETALL", name) for name in names]):
                for asset, account in accounts_of(fields).items():
                    sums.setdefault(asset, LedgerAccount()).add(account)
        return sums

    async def _differences(self, shard: int, accounts: Sums, posted: PostedSums) -> list[Difference]:
        found: dict[AccountKey, Difference] = {}
        seen: Counter[AccountKey] = Counter()
        for _ in range(1 + MOST_READS):
            wrong = await self._wrong(shard, accounts, posted)
            if not wrong:
                break
            again = await self._accounts_of(shard)
            stood_still = [place for place in wrong if again[place] == accounts[place]]
            seen.update(stood_still)
            found |= {place: wrong[place] for place in stood_still}
            accounts = again
        return [found[place] for place in sorted(found) if seen[place] > 1]

    async def _wrong(self, shard: int, accounts: Sums, posted: PostedSums) -> dict[AccountKey, Difference]:
        sums, held = await self.walk(shard, posted), await self._held(shard)
        places = accounts.keys() | sums.keys() | held.keys()
        found = (Difference(*place, accounts[place], sums[place], held[place].held) for place in places)
        return {(one.owner, one.asset): one for one in found if one.said()}

    async def _accounts_of(self, shard: int) -> Sums:
        accounts: Sums = defaultdict(LedgerAccount)
        async for key in self._link.keys(keys.account(shard, "*")):
            owner = Owner(key.partition(":acct:")[2])
            for asset, account in accounts_of(await self._link.ask("HGETALL", key)).items():
                accounts[owner, asset] = account
        return accounts

    async def walk(self, shard: int, posted: PostedSums) -> Sums:
        """Sum up the postings of a shard that came since the last walk, and see that commits of ours wrote them."""
        # Whatever cuts a walk leaves nothing of it: the next one begins anew.
        known = posted.shards.pop(shard, None)
        found = known if known is not None and await self._begins_with(shard, known) else await self._anew(shard)
        await self._walk_on(shard, found)
        for _ in range(MOST_READS):
            if await self._begins_with(shard, found):
                break
            found = await self._anew(shard)  # some were put away meanwhile
            await self._walk_on(shard, found)
        posted.shards[shard] = found
        return _copy(found.sums)

    async def _anew(self, shard: int) -> ShardSums:
        """Begin a walk with what was put away."""
        sums, until = await self.checkpoint(shard)
        return ShardSums(sums, until, await self._link.ask("HGET", keys.posted(shard), _STATED))

    async def _begins_with(self, shard: int, found: ShardSums) -> bool:
        """Whether nothing was put away, or stated, since a walk began."""
        until, stated = await self._link.pipeline(
            [("HGET", keys.checkpoint(shard), "until"), ("HGET", keys.posted(shard), _STATED)]
        )
        return ((until or b"").decode(), stated) == (found.until, found.stated)

    # ── signed: each posting by the commit that wrote it, and what all of them summed to before ───────────────────────

    async def _walk_on(self, shard: int, found: ShardSums) -> None:
        stated, outside = self._stated(shard, found), self._said_outside(shard, found)
        fresh: list[Posting] = []
        async for entry in self.journal(shard, found.last):
            place = place_of(entry.id)
            is_stated = place <= stated.last
            if not is_stated:
                stated = self._compared(shard, stated, found)
            if place > outside.last:
                outside = self._compared(shard, outside, found)
            if not is_stated:
                self._look_at(entry, found)
                fresh.append(entry)
            if len(fresh) == PAGE:
                await self._look_for_records(shard, fresh, found)
                fresh = []
            found.sums[entry.owner, entry.asset].post(entry)
            found.last = entry.id
        self._compared(shard, stated, found)
        self._compared(shard, outside, found)
        await self._look_for_records(shard, fresh, found)

    def _stated(self, shard: int, found: ShardSums) -> "Statement":
        """Read what was stated of the oldest postings; where nothing is signed, nothing is asked of any."""
        macs = self._records.macs
        if not macs.strict:
            return Statement(_NEWEST, "", due=False)
        last, digest, signature = _parts(found.stated)
        try:
            macs.refuse_forged(keys.posted(shard), signature, last, digest)
        except Forged:
            return Statement((0, 0), "forged", due=not found.last)
        return Statement(place_of(last), digest, due=not found.last)

    def _said_outside(self, shard: int, found: ShardSums) -> "Statement":
        """Give what was written down outside of the postings up to one of them, unless that one was put away since."""
        last, digest = self.outside.get(shard, ("0-0", ""))
        # A store that lost writes is closed, and lacks some of them, until a person takes it for the truth.
        is_due = not found.last and not self._records.guard.alarms
        return Statement(place_of(last), digest, due=is_due and place_of(found.until or "0-0") < place_of(last))

    def sums_to_write_down(self, posted: PostedSums) -> Mapping[int, tuple[str, str]]:
        """Say of each shard what its postings sum to, up to the last one that a walk found to be ours."""
        fresh = {
            shard: (one.last, digest_of(one.sums))
            for shard, one in posted.shards.items()
            if one.last and not one.forged
        }
        self.outside = {**self.outside, **fresh}
        return fresh

    def _compared(self, shard: int, stated: "Statement", found: ShardSums) -> "Statement":
        """See that the oldest postings are those that were stated; whose is the false one cannot be told."""
        if stated.due and digest_of(found.sums) != stated.digest:
            why = f"the oldest postings of shard {shard:02d}, or their sums, were changed beside Payflow"
            found.forged |= {owner: f"{owner}: {why}." for owner, _ in found.sums}
        return stated._replace(due=False)

    def _look_at(self, entry: Posting, found: ShardSums) -> None:
        """See that a commit of ours wrote a posting, once."""
        said = (entry.owner, entry.asset, entry.source, entry.target, str(entry.units), entry.cause)
        # What came from outside, or went back, did so once under its reference, whenever that was.
        is_once = not is_id(entry.cause) and not entry.cause.startswith(CORRECTED)
        once = " ".join((*said[:4], entry.cause)) if is_once else entry.seal
        name = int.from_bytes(hashlib.blake2b(once.encode(), digest_size=8).digest(), "big")
        # A correction may change what is owed otherwise than a move does, and is signed with it.
        owes = found.sums[entry.owner, entry.asset].owes(entry)
        corrects = (*said[:4], f"{entry.units} {entry.owed}", entry.cause)
        if not self._records.macs.knows_posting(said if entry.owed == owes else corrects, entry.seal):
            found.forged[entry.owner] = (
                f"{entry.owner}: the posting {entry.id} ({entry.cause}) was written by no commit of ours."
            )
        elif not is_id(entry.cause) and self._is_late(entry, entry.number_in_seal or self.timed_since):
            found.forged[entry.owner] = (
                f"{entry.owner}: the posting {entry.id} ({entry.cause}) is of another time: it was there before."
            )
        elif name in found.seen:
            found.forged[entry.owner] = f"{entry.owner}: the posting {entry.id} ({entry.cause}) is there twice."
        else:
            found.older_key = found.older_key or not self._records.macs.is_current_posting(entry.seal)
            _note_earned(entry, found.earned)
        found.seen.add(name)

    async def _look_for_records(self, shard: int, entries: Sequence[Posting], found: ShardSums) -> None:
        """See that the records which moved money are there, and as far on as they were then: none was set back."""
        about = [one for one in entries if is_id(one.cause)]
        commands: list[tuple[str | int, ...]] = []
        for one in about:
            commands += [
                ("ZSCORE", keys.owned(shard, one.owner), one.cause),
                ("HMGET", keys.records(shard, one.cause), "ver", "archived"),
                ("HGET", keys.tombs(shard), one.cause),
                ("LINDEX", keys.histories(shard, one.cause), max(0, one.number_in_seal - 1)),
            ]
        answers = await self._link.pipeline(commands)
        for place, one in enumerate(about):
            owned, *found_of_it = answers[4 * place : 4 * place + 4]
            why = self._against_record(one, owned is not None, *found_of_it)
            if why:
                found.forged[one.owner] = f"{one.owner}: {one.cause} {why}."

    def _against_record(
        self,
        one: Posting,
        is_owned: bool,  # noqa: FBT001  (as it was read)
        row: Sequence[bytes | None],
        stub: bytes | None,
        event: bytes | None,
    ) -> str:
        """Say what is wrong with the record that moved money, or what is left of it."""
        version, brought_back = row
        if stub:
            return f"was archived before the posting {one.id}" if self._is_late(one, read_stub(stub).at) else ""
        if int(version or 0) < one.number_in_seal:
            return f"was set back to before the posting {one.id}" if version else "is not there any more"
        if not is_owned:
            return "is not in the index of its owner, by which rules judge"
        if event and not brought_back and self._is_late(one, read_event(event).at):
            return f"did long before what the posting {one.id} says"
        return ""

    def _is_late(self, entry: Posting, at: int) -> bool:
        """Whether a posting lies in the journal long after what it is about; with a clock of a test nobody can tell."""
        return self._records.has_clock_of_store and place_of(entry.id)[0] > at + DAY

    async def sign(self) -> AsyncIterator[str]:
        """State anew, with the newest key, what all postings sum to; name the shards whose postings are not ours."""
        macs = self._records.macs
        empty = await self._state_empty() if macs.ready and not macs.strict else []
        for shard in range(self._records.shards):
            if shard in empty:
                continue
            posted = PostedSums()
            await self.walk(shard, posted)
            found = posted.shards[shard]
            if found.forged:
                yield keys.journal(shard)
                continue
            last, digest, signature = _parts(found.stated)
            if macs.strict and not macs.trusts(keys.posted(shard), signature, last, digest):
                yield keys.posted(shard)  # of a shard without any posting
            if macs.ready and (found.stated is None or found.older_key or not macs.is_current(signature)):
                await self._state(shard, found)

    async def _state_empty(self) -> list[int]:
        """State that nothing was posted where nothing was: a new store has nothing to walk over."""
        shards = range(self._records.shards)
        lengths = await self._link.pipeline([("XLEN", keys.journal(shard)) for shard in shards])
        folded = await self._link.pipeline([("EXISTS", keys.checkpoint(shard)) for shard in shards])
        empty = [shard for shard, *found in zip(shards, lengths, folded, strict=True) if not any(found)]
        nothing: Sums = defaultdict(LedgerAccount)
        await self._link.pipeline(
            [("HSETNX", keys.posted(shard), _STATED, self.statement(shard, "0-0", nothing)) for shard in empty]
        )
        return empty

    async def _state(self, shard: int, found: ShardSums) -> bool:
        """State that what was walked over is true, unless something else was stated meanwhile."""
        fresh = self.statement(shard, found.last or found.until or "0-0", found.sums)
        if found.stated is None:
            return bool(await self._link.ask("HSETNX", keys.posted(shard), _STATED, fresh))
        return bool(await self._link.run(SWAP, [keys.posted(shard)], _STATED, found.stated, fresh))

    async def forged_in(self, shard: int) -> list[str]:
        """Name the postings of a shard that no commit of ours wrote."""
        posted = PostedSums()
        await self.walk(shard, posted)
        return sorted(posted.forged.values())

    async def believe(self, shard: int, said: list[str]) -> bool:
        """State that what is posted is true as it is, as two people saw it; False where it is other than that."""
        posted = PostedSums()
        await self.walk(shard, posted)
        if sorted(posted.forged.values()) != said or not await self._state(shard, posted.shards[shard]):
            return False
        found = posted.shards[shard]
        self.outside = {**self.outside, shard: (found.last or "0-0", digest_of(found.sums))}
        return True

    async def stated_before(self, shard: int, entry_id: str) -> tuple[bytes, bool]:
        """Give what was stated, and whether that ends before a posting."""
        stated = await self._link.ask("HGET", keys.posted(shard), _STATED) or b""
        return stated, place_of(_parts(stated)[0]) < place_of(entry_id)

    def statement(self, shard: int, last: str, sums: Sums) -> str:
        """State what the postings up to one of them sum to, signed."""
        digest = digest_of(sums)
        return f"{last} {digest} {self._records.macs.sign(keys.posted(shard), last, digest).hex()}"

    async def checkpoint(self, shard: int) -> tuple[Sums, str]:
        """Give what the postings that were archived sum to, and which was the last of them; '' where none was."""
        sums: Sums = defaultdict(LedgerAccount)
        until = ""
        for name, value in (await self._link.ask("HGETALL", keys.checkpoint(shard))).items():
            if name == b"until":
                until = value.decode()
                continue
            owner, asset = name.decode().split(" ")
            sums[Owner(owner), asset] = LedgerAccount(*map(int, value.split()))
        return sums, until

    async def _held(self, shard: int) -> Sums:
        held: Sums = defaultdict(LedgerAccount)
        for machine in self._records.machines.values():
            holding = [state.name for state in machine.lifecycle.states.values() if state.position is Position.HELD]
            # A record that moves on meanwhile may stand in two of these indexes: it counts once, where it is now.
            ids = list(
                dict.fromkeys(
                    [
                        record_id
                        for state in holding
                        async for record_id, _ in self._link.members(keys.members(shard, machine.name, state))
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


def _note_earned(entry: Posting, earned: dict[CreditedDay, Counter[Owner]]) -> None:
    """Note an earning of a platform, of the newest day; what was reserved at its end may be posted a moment later."""
    platform, _, name = entry.cause.partition("/")
    if (entry.source, entry.target) != ("outside", Position.AVAILABLE) or not name:
        return
    place = CreditedDay((entry.number_in_seal - MINUTE) // DAY, platform, entry.asset)
    for older in [one for one in earned if one.day < place.day]:
        del earned[older]
    if all(one.day == place.day for one in earned):
        earned.setdefault(place, Counter())[entry.owner] += entry.units


def _copy(sums: Sums) -> Sums:
    return defaultdict(LedgerAccount, {place: replace(account) for place, account in sums.items()})


def accounts_of(fields: dict[bytes, bytes]) -> dict[str, LedgerAccount]:
    """Read an owner's accounts, by asset, as they are kept."""
    accounts: dict[str, LedgerAccount] = {}
    for name, units in fields.items():
        asset, _, part = name.decode().partition(".")
        setattr(accounts.setdefault(asset, LedgerAccount()), part, int(units))
    return accounts


def posting_of(entry_id: str, fields: Mapping[bytes, bytes]) -> Posting:
    (content,) = fields.values()
    owner, asset, source, target, units, owed, rest = content.decode().split(" ", 6)
    cause, _, seal = rest.rpartition(" ~")
    if not _SEAL.fullmatch(seal):
        cause, seal = rest, ""
    return Posting(entry_id, Owner(owner), asset, source, target, int(units), int(owed), cause, seal)


def place_of(entry_id: str) -> tuple[int, int]:
    """Read where a posting is in its journal."""
    at, _, number = entry_id.partition("-")
    return int(at), int(number or 0)


def digest_of(sums: Sums) -> str:
    """Tell sums from any others; an account with nothing in it is none."""
    empty = LedgerAccount()
    content = [(owner, asset, one.figures) for (owner, asset), one in sorted(sums.items()) if one != empty]
    return hashlib.sha256(encode(content)).hexdigest()


def _parts(stated: bytes | None) -> tuple[str, str, bytes]:
    last, _, rest = (stated or b"0-0").partition(b" ")
    digest, _, signature = rest.partition(b" ")
    return last.decode(errors="replace"), digest.decode(errors="replace"), of_text(signature)
