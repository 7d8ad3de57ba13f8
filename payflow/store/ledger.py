"""The books: accounts, the journal, and the proof that both say the same as the records."""

import hashlib
import heapq
import secrets
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from machines.core.clock import DAY, MINUTE, Millis
from machines.core.errors import BadInput, Conflict, KeyReused
from machines.core.ids import Owner, is_id
from machines.core.lifecycle import Position, RailPosition
from machines.core.money import NGN
from machines.core.rail_share import REST, RailPart, RailShare, written
from machines.core.rail_share import read as read_share
from payflow.store import keys
from payflow.store.accounts import (
    AccountKey,
    AnyDifference,
    BothSides,
    Difference,
    LedgerAccount,
    Posting,
    RailAccount,
    RailDifference,
    RailKey,
    Sums,
    account_of_figures,
    accounts_of,
    digest_of,
    exact,
    place_of,
    posting_of,
    rail_accounts_of,
    sides_of,
)
from payflow.store.codec import read_event
from payflow.store.link import PAGE, paged
from payflow.store.macs import Forged, of_text
from payflow.store.rail_side import RAIL, RailOp, posted, rail_account
from payflow.store.records import OverRecords
from payflow.store.scripts import BOOK, CORRECT, SWAP
from payflow.store.stored import read_stub

# How often what seems wrong is read again before it is said to be wrong.
MOST_READS = 3
# No stream numbers more entries of one millisecond.
MOST_AT_ONCE = 2**64 - 1
FEW_FRESH = 4_096
CORRECTED = "corrected by "
"""What the cause of a correction begins with."""
HIDDEN = "is not in the index of its owner, by which rules judge"
RAILS_OPENED = "rails_opened"
_CHECK = "books"
_NEWEST = (2**64, 0)
_STATED = "stated"


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """Whether the books were true, and when that was found."""

    at: Millis
    conserved: bool


@dataclass(slots=True)
class LedgerReport:
    """What a walk over the whole ledger found."""

    totals: dict[str, LedgerAccount] = field(default_factory=dict)
    rails: dict[RailKey, RailAccount] = field(default_factory=dict)
    """The accounts of each rail in each asset, over all shards."""
    rails_opened: bool = True
    """Whether what was before the rails' side was kept is in it; before that nothing is said of both sides together."""
    accounts: int = 0
    differences: list[AnyDifference] = field(default_factory=list)
    sides: dict[str, BothSides] = field(default_factory=dict)
    """What is paid on both sides, by asset, as postings sum up: a commit posts both, so they agree at any moment."""
    uneven: list[str] = field(default_factory=list)
    """Where what owners' accounts say that is paid is not what the rails' say."""
    unreadable: list[str] = field(default_factory=list)
    """What is kept in a form that no Payflow writes; whose money that is cannot be told."""
    forged: dict[Owner, str] = field(default_factory=dict)
    """Whose money was moved by postings that no commit of ours wrote, however well the figures agree."""

    @property
    def faults(self) -> list[str]:
        said = (fault for one in self.differences for fault in one.said())
        return [*self.unreadable, *self.forged.values(), *said, *self.uneven]

    def count(self, name: Owner, asset: str, account: LedgerAccount | RailAccount) -> None:
        """Add an account to the totals."""
        if isinstance(account, RailAccount):
            self.rails.setdefault((name.removeprefix(RAIL), asset), RailAccount()).add(account)
        else:
            self.accounts += 1
            self.totals.setdefault(asset, LedgerAccount()).add(account)

    def compare(self, shard: int, sides: Mapping[str, BothSides], *, judged: bool) -> None:
        """Put both sides of a shard to the others, and say where they do not agree."""
        for asset, one in sorted(sides.items()):
            self.sides.setdefault(asset, BothSides()).add(one)
            if judged and not one.agree:
                self.uneven.append(
                    f"{asset}, shard {shard:02d}: owners' accounts say that {exact(one.paid)} is paid, the rails' "
                    f"(settled, and fees that payees bear, less what was paid twice) {exact(one.on_rails)}."
                )

    @property
    def conserved(self) -> bool:
        """Whether nothing was lost and nothing was made."""
        return not (self.differences or self.unreadable or self.forged or self.uneven)


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
    asked: "dict[str, tuple[int, Owner]]" = field(default_factory=dict)
    """Each record that took something of an owner's within a day of the newest posting: when, and whose."""


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
        books = LedgerReport(rails_opened=await self.rails_opened())
        keepers = (machine for machine in self._records.machines.values() if machine.money)
        judged = books.rails_opened and all(machine.rail_share for machine in keepers)
        for shard in range(self._records.shards):
            try:
                accounts = await self._accounts_of(shard)
                for (name, asset), account in accounts.items():
                    books.count(name, asset, account)
                sums = posted if posted is not None else PostedSums()
                books.differences += await self._differences(shard, accounts, sums)
                books.forged |= sums.shards[shard].forged
                books.compare(shard, sides_of(sums.shards[shard].sums), judged=judged)
            except (ValueError, AttributeError, IndexError) as error:
                books.unreadable.append(f"Accounts or journal of shard {shard:02d} cannot be read: {error}.")
        return books

    async def difference(self, owner: Owner, asset: str) -> AnyDifference | None:
        """Say what is wrong with one account, or with a rail's in one shard; None when nothing is."""
        shards = range(self._records.shards) if owner.startswith(RAIL) else (self._records.owner_shard(owner),)
        for shard in shards:
            for one in await self._differences(shard, await self._accounts_of(shard), PostedSums()):
                if (one.owner, one.asset) == (owner, asset):
                    return replace(one, shard=shard)
        return None

    async def correct(self, found: AnyDifference, *, becomes: str, posting: str, cause: str) -> bool:
        """Write what two people decided, unless the account moved since; a posting is `source target units owed`."""
        key = keys.sequence(found.shard)
        entry = ""
        if posting:
            source, target, units, owed = posting.split(" ")
            number = await self._records.now()
            # With what it changes of the debt, where no move would have changed it so.
            owes = found.journal.owes(Posting("", found.owner, found.asset, source, target, int(units), 0, ""))
            signed = units if owes == int(owed) else f"{units} {owed}"
            seal = self._records.macs.seal_posting((found.owner, found.asset, source, target, signed, cause), number)
            entry = f"{found.owner} {found.asset} {posting} {cause}{seal}"
        rail = found.owner.removeprefix(RAIL)
        place = (f"acct:{found.owner}", found.asset) if rail == found.owner else ("rails", f"{rail} {found.asset}")
        seen, wanted = found.account.named, found.account.renamed(becomes)
        names = sorted(seen.keys() | wanted.keys())
        before, after = (" ".join(f"{name} {one.get(name, 0)}" for name in names) for one in (seen, wanted))
        return bool(await self._link.run(CORRECT, [key], *place, before, after, entry))

    async def book(self, rail: str, asset: str, part: RailPart, fine: int, reference: str, why: str) -> bool:
        """Book a line of a rail's statement that no record of ours posts: a top-up (`FUNDED`), a charge (`FEES`).

        `fine` is in parts of a ledger unit (see `FINE`), less than nothing for what was taken out or given back. Each
        line is booked once under the rail's own `reference` for it; False when it was before.
        """
        if part is RailPart.WALLET:
            raise BadInput("What is in a wallet is no line: book its balance.")
        now = await self._records.now()
        said = f"statement {reference}: {why}"
        op = posted(self._records.macs, "", written(RailShare(rail, asset, {part: fine})), said, now)
        line = f"{asset} {part} {fine}"
        return await self._booked(rail, reference, line, "line", ("", ""), op)

    async def booked(self, rail: str, references: Sequence[str]) -> list[tuple[str, int] | None]:
        """Say what is booked under references: the part, and how much of it; None under each where nothing is."""
        if not references:
            return []
        space = keys.unique(self._records.owner_shard(rail_account(rail)), f"rail:{rail}")
        found = await self._link.ask("HMGET", space, *references)
        lines = [one.decode().split(" ") if one else None for one in found]
        return [(line[1], int(line[2])) if line else None for line in lines]

    async def book_balance(self, rail: str, asset: str, fine: int, at: Millis) -> bool:
        """Book what a rail said that its wallet held, in parts of a unit; False where a balance of later is known.

        `at` is any time that grows from one to the next, such as when the span of its statement began: what is read
        again of the same span counts.
        """
        shard = self._records.owner_shard(rail_account(rail))
        while True:
            known = (await self._rails_of(shard)).get((rail, asset), RailAccount())
            before, after = (
                written(RailShare(rail, asset, {RailPart.WALLET: one})) for one in (known.fine(RailPart.WALLET), fine)
            )
            now = await self._records.now()
            # Each reading is a posting of its own: a wallet may have been lower, and higher, and lower again.
            cause = f"balance of {at}, reading {secrets.token_hex(4)}"
            op = posted(self._records.macs, before, after, cause, now)
            figures = [f"{RailPart.WALLET}{rest}" for rest in ("", REST)]
            by = dict(zip(op.changes[::2], op.changes[1::2], strict=True))
            # All of its figures, whether they change or not: a balance of nothing is one.
            names = [f"{rail} {asset}.{name}" for name in figures]
            op.changes = [word for name in names for word in (name, by.get(name, "0"))]
            seen = tuple(str(known.units.get(name, 0)) for name in figures)
            with suppress(Conflict):
                return await self._booked(rail, f"balance {asset}", str(at), "balance", seen, op)

    async def _booked(self, rail: str, name: str, what: str, kind: str, seen: tuple[str, ...], op: RailOp) -> bool:
        words: tuple[str | int, ...] = (rail, name, what, kind, *seen, len(op.changes) // 2, *op.changes, *op.postings)
        match await self._link.run(BOOK, [keys.sequence(self._records.owner_shard(rail_account(rail)))], *words):
            case -1:
                raise KeyReused(f"{name} of {rail}: something else is booked under this reference.")
            case -2:
                raise Conflict(f"{rail}: its balance was booked a moment ago.")
            case -3:
                raise BadInput(f"{what} is more than the books of {rail} hold.")
            case booked:
                return bool(booked)

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

    async def _differences(self, shard: int, accounts: Sums, posted: PostedSums) -> list[AnyDifference]:
        found: dict[AccountKey, AnyDifference] = {}
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

    async def _wrong(self, shard: int, accounts: Sums, posted: PostedSums) -> dict[AccountKey, AnyDifference]:
        sums, held = await self.walk(shard, posted), await self._held(shard)
        found: list[AnyDifference] = []
        for key in accounts.keys() | sums.keys() | held.keys():
            if key[0].startswith(RAIL):
                under_way = held.on_rail(key).fine(RailPart.IN_FLIGHT)
                found.append(RailDifference(*key, accounts.on_rail(key), sums.on_rail(key), under_way))
            else:
                found.append(Difference(*key, accounts.owned(key), sums.owned(key), held.owned(key).held))
        return {(one.owner, one.asset): replace(one, shard=shard) for one in found if one.said()}

    async def rails_opened(self) -> bool:
        """Whether the rails' side has all that was before it was kept."""
        return bool(await self._link.ask("HEXISTS", keys.META, RAILS_OPENED))

    async def _accounts_of(self, shard: int) -> Sums:
        accounts = Sums()
        async for key in self._link.keys(keys.account(shard, "*")):
            owner = Owner(key.partition(":acct:")[2])
            for asset, account in accounts_of(await self._link.ask("HGETALL", key)).items():
                accounts[owner, asset] = account
        for (rail, asset), on_rail in (await self._rails_of(shard)).items():
            accounts[rail_account(rail), asset] = on_rail
        return accounts

    async def _rails_of(self, shard: int) -> dict[RailKey, RailAccount]:
        return rail_accounts_of(await self._link.ask("HGETALL", keys.rails(shard)))

    async def rails(self) -> dict[RailKey, RailAccount]:
        """Add up the accounts of each rail in each asset, over all shards."""
        books = LedgerReport()
        shards = range(self._records.shards)
        for fields in await self._link.pipeline([("HGETALL", keys.rails(shard)) for shard in shards]):
            for (rail, asset), account in rail_accounts_of(fields).items():
                books.count(rail_account(rail), asset, account)
        return books.rails

    async def currencies_of(self, rail: str) -> list[str]:
        """Name the assets that a rail ever had to do with, and naira, in which it always has a wallet."""
        return sorted({NGN.code, *(asset for name, asset in await self.rails() if name == rail)})

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
        return found.sums.copied()

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
        await self._look_for_hidden(shard, found)

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
            everybody = {owner for owner, _ in found.sums}
            # A rail is of all owners: it stops where no owner can be in question.
            owners = {one for one in everybody if not one.startswith(RAIL)} or everybody
            found.forged |= {owner: f"{owner}: {why}." for owner in owners}
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
            _note_asked(entry, found.asked)
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
            # A rail is no owner: the posting of the owner's side says the same of the record.
            why = self._against_record(one, owned is not None or one.owner.startswith(RAIL), *found_of_it)
            if why:
                found.forged[one.owner] = f"{one.owner}: {one.cause} {why}."

    async def _look_for_hidden(self, shard: int, found: ShardSums) -> None:
        """See that rules find what was asked for within a day: it may be hidden after its posting was read."""
        asked = [(record_id, owner) for record_id, (_, owner) in found.asked.items()]
        for first in range(0, len(asked), PAGE):
            some = asked[first : first + PAGE]
            owned = await self._link.pipeline([("ZSCORE", keys.owned(shard, owner), one) for one, owner in some])
            gone = [pair for pair, score in zip(some, owned, strict=True) if score is None]
            archived = await self._link.pipeline([("HEXISTS", keys.tombs(shard), one) for one, _ in gone])
            for (one, owner), is_archived in zip(gone, archived, strict=True):
                if not is_archived:
                    found.forged.setdefault(owner, f"{owner}: {one} {HIDDEN}.")

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
            return HIDDEN
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
        nothing = Sums()
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
        sums = Sums()
        until = ""
        for name, value in (await self._link.ask("HGETALL", keys.checkpoint(shard))).items():
            if name == b"until":
                until = value.decode()
                continue
            owner, asset = name.decode().split(" ")
            key = Owner(owner), asset
            sums[key] = account_of_figures(key, value.decode())
        return sums, until

    async def _held(self, shard: int) -> Sums:
        """Sum up the records whose money is held, and those that are under way at a rail."""
        held = Sums()
        for machine in self._records.machines.values():
            states = machine.lifecycle.states.values()
            holding = {state.name for state in states if state.position is Position.HELD}
            under_way = {state.name for state in states if state.at_rail is RailPosition.IN_FLIGHT}
            # A record that moves on meanwhile may stand in two of these indexes: it counts once, where it is now.
            ids = list(
                dict.fromkeys(
                    [
                        record_id
                        for state in sorted(holding | under_way)
                        async for record_id, _ in self._link.members(keys.members(shard, machine.name, state))
                    ]
                )
            )
            for start in range(0, len(ids), PAGE):
                commands = [
                    ("HMGET", keys.record(one), "state", "owner", "asset", "units", "share")
                    for one in ids[start : start + PAGE]
                ]
                for state, owner, asset, units, share in await self._link.pipeline(commands):
                    if state is not None and state.decode() in holding:
                        held.owned((Owner(owner.decode()), asset.decode())).held += int(units)
                    if state is not None and state.decode() in under_way and share:
                        rail, code, figures = read_share(share.decode())
                        held.on_rail((rail_account(rail), code)).add(RailAccount(figures))
        return held


def _note_earned(entry: Posting, earned: dict[CreditedDay, Counter[Owner]]) -> None:
    """Note an earning of a platform, of the newest day; what was reserved at its end may be posted a moment later."""
    platform, _, name = entry.cause.partition("/")
    if (entry.source, entry.target) != ("outside", Position.AVAILABLE) or not name or " " in platform:
        return  # no platform's name has a space: what people post for a finding counts against no limit
    place = CreditedDay((entry.number_in_seal - MINUTE) // DAY, platform, entry.asset)
    for older in [one for one in earned if one.day < place.day]:
        del earned[older]
    if all(one.day == place.day for one in earned):
        earned.setdefault(place, Counter())[entry.owner] += entry.units


def _note_asked(entry: Posting, asked: dict[str, tuple[int, Owner]]) -> None:
    if (entry.source, entry.target) != (Position.AVAILABLE, Position.HELD) or not is_id(entry.cause):
        return
    at = place_of(entry.id)[0]
    asked[entry.cause] = (at, entry.owner)
    while asked and next(iter(asked.values()))[0] < at - DAY:
        del asked[next(iter(asked))]


def _parts(stated: bytes | None) -> tuple[str, str, bytes]:
    last, _, rest = (stated or b"0-0").partition(b" ")
    digest, _, signature = rest.partition(b" ")
    return last.decode(errors="replace"), digest.decode(errors="replace"), of_text(signature)
