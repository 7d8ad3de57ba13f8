"""One act over many records: shown first in counts and sums, with what would not be done, then done as it was seen.

What would happen is found by the very fact that the act itself tells, with what the rail says at that moment: what is
shown is what happens, unless the world moves in between, and a record that moved is left alone. What became of each is
written down: whoever was interrupted goes on where they stopped, and no record is done twice.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from machines.core.errors import BadInput, Conflict, NotAllowed, NotPossible, PayflowError, StoreUnavailable
from machines.core.ids import RecordId
from machines.core.money import Asset, Money
from payflow.desk.actions import ActionRequest, Actions
from payflow.desk.person import OPERATES, REVIEWS, Person, because, refuse_who_may_no_more
from payflow.desk.query import RecordQuery
from payflow.desk.records import revived
from payflow.desk.steering import Steering
from payflow.store.registers.bulk_runs import BulkEntry, BulkPlan, BulkRuns, BulkStage
from payflow.store.registers.tokens import Role
from payflow.store.store import Store
from payflow.store.stored import Stored

MOST = 10_000
"""So many records at a time: what concerns more is a matter of a setting, or of a pause."""
AT_ONCE = 8
LOOKED_AT = "looked at now"
ARCHIVED = "archived"
"""What a record is seen as that comes back to be compared with the world."""
RESYNC, RESUME = "resync", "resume"
VERBS: Mapping[str, frozenset[Role]] = {
    "retry": OPERATES, RESYNC: OPERATES, "cancel": OPERATES, "release": OPERATES, "approve": REVIEWS, RESUME: OPERATES,
}  # fmt: skip
"""What may be done to many records, and by whom."""

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class BulkLine:
    """What an act would do to one record, or did."""

    id: RecordId
    state: str
    amount: Money | None
    seen: str
    """What it was when it was looked at."""
    becomes: str = ""
    """Where it goes: a state, or a sentence."""
    refused: str = ""
    """Why nothing is done to it; empty where something is."""


@dataclass(slots=True)
class BulkPreview:
    """What an act would do to all records that are meant."""

    verb: str
    where: str
    lines: list[BulkLine] = field(default_factory=list)

    @property
    def meant(self) -> list[BulkLine]:
        """Those that something would be done to."""
        return [one for one in self.lines if not one.refused]

    @property
    def left_alone(self) -> list[BulkLine]:
        """Those that nothing would be done to."""
        return [one for one in self.lines if one.refused]

    def says(self) -> list[str]:
        """Say it in counts and sums."""
        moves, refusals = defaultdict[tuple[str, str], list[BulkLine]](list), defaultdict[str, list[BulkLine]](list)
        for one in self.meant:
            moves[one.state, one.becomes].append(one)
        for one in self.left_alone:
            refusals[one.refused.replace(one.id, "it")].append(one)
        said = [f"{len(found):,} in {state}: {to}{_sums(found)}" for (state, to), found in sorted(moves.items())]
        said += [f"{len(found):,} left alone{_sums(found)}: {why}" for why, found in sorted(refusals.items())]
        return said or ["No record is meant."]


def _sums(lines: Iterable[BulkLine]) -> str:
    sums: Counter[Asset] = Counter()
    for one in lines:
        if one.amount is not None:
            sums[one.amount.asset] += one.amount.units
    # A sum over thousands may be more than one amount can be.
    written = [f"{asset.code} {_decimal(units, asset)}" for asset, units in sums.items()]
    return f" ({', '.join(sorted(written))})" if written else ""


def _decimal(units: int, asset: Asset) -> str:
    whole, fraction = divmod(units, 10**asset.decimals)
    return f"{whole:,}.{fraction:0{asset.decimals}}" if asset.decimals else f"{whole:,}"


class Bulk:
    """Does one act to many records, by one person's word."""

    def __init__(self, store: Store, actions: Actions, steering: Steering) -> None:
        self._store = store
        self._actions = actions
        self._steering = steering
        self._runs = BulkRuns(store.link)

    # ── shown ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def preview(
        self, verb: str, wanted: RecordQuery | Sequence[RecordId], person: Person, reason: str,
        progress: Progress = lambda _: None,
    ) -> BulkPreview:  # fmt: skip
        """Say what an act would do to each record that is meant; nothing is changed, and rails may be asked."""
        _refuse_unknown(verb)
        person.refuse_unless(VERBS[verb])
        ids = [one.record.id async for one in self._found(wanted)] if isinstance(wanted, RecordQuery) else wanted
        ids = list(dict.fromkeys(ids))
        _refuse_many(len(ids))
        where = wanted.text if isinstance(wanted, RecordQuery) else f"{len(ids)} that were picked"
        found = BulkPreview(verb, where)

        async def one(record_id: RecordId) -> None:
            found.lines.append(await self._foreseen(verb, record_id, person, reason))
            progress(1)

        await _each(ids, one)
        found.lines.sort(key=lambda line: ids.index(line.id) if len(ids) < AT_ONCE else line.id)
        return found

    async def _found(self, wanted: RecordQuery) -> AsyncIterator[Stored]:
        count = 0
        async for one in wanted.find(self._store):
            yield one
            count += 1
            _refuse_many(count)

    async def _foreseen(self, verb: str, record_id: RecordId, person: Person, reason: str) -> BulkLine:
        try:
            stored = await self._store.records.read(record_id)
        except StoreUnavailable:
            raise
        except PayflowError as error:
            stub = await self._store.archive.stub(record_id) if verb == RESYNC else None
            if stub is not None:
                return BulkLine(record_id, stub.state, None, ARCHIVED, becomes=LOOKED_AT)
            return BulkLine(record_id, "", None, "", refused=str(error))
        record = stored.record
        line = BulkLine(record_id, record.state, record.amount, "")
        try:
            line = replace(line, seen=self._seen(verb, stored))
            if verb in (RESYNC, RESUME):
                self._refuse_look(verb, stored)
                return replace(line, becomes=LOOKED_AT)
            becomes = await self._actions.foresee(verb, stored, ActionRequest(person, reason, line.seen))
        except StoreUnavailable:
            raise
        except PayflowError as error:
            return replace(line, refused=str(error))
        return replace(line, becomes=becomes)

    def _seen(self, verb: str, stored: Stored) -> str:
        return str(stored.record.version) if verb in (RESYNC, RESUME) else self._actions.sees(verb, stored)

    def _refuse_look(self, verb: str, stored: Stored) -> None:
        if verb == RESUME and not stored.record.parked:
            raise NotPossible(f"{stored.record.id} was not set aside.")
        self._steering.refuse_unwatched(stored.record)

    # ── done ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def begin(self, preview: BulkPreview, person: Person, reason: str) -> str:
        """Write down what will be done, before anything is; gives its name, by which it is gone on with."""
        _refuse_unknown(preview.verb)
        person.refuse_unless(VERBS[preview.verb])
        why = because(reason, "Say why: it is written into the audit log and into each history.")
        entries = {one.id: BulkEntry(one.state, one.seen, one.becomes) for one in preview.meant}
        if not entries:
            raise BadInput("Nothing would be done: no record is meant, or none can be.")
        plan = BulkPlan(preview.verb, preview.where, why, person.name, await self._store.records.now())
        return await self._runs.begin(plan, entries)

    async def read(self, name: str) -> tuple[BulkPlan, Mapping[RecordId, BulkEntry]]:
        """Give an act that was begun, and how far it came."""
        return await self._runs.read(name)

    async def go_on(
        self, name: str, person: Person, progress: Progress = lambda _: None
    ) -> Mapping[RecordId, BulkEntry]:
        """Do what was begun to each record that it was not done to yet, and say what became of all."""
        plan, entries = await self._runs.read(name)
        _refuse_unknown(plan.verb)
        person.refuse_unless(VERBS[plan.verb])
        if not await self._store.persons.same(plan.by, person.name):
            raise NotAllowed(f"{plan.by} began this, and you saw nothing of it: look yourself, and begin anew.")
        left = [one for one, entry in entries.items() if entry.stage in (BulkStage.WAITING, BulkStage.BEGUN)]

        async def one(record_id: RecordId) -> None:
            await refuse_who_may_no_more(self._store, person)
            entries[record_id] = await self._done(plan, name, record_id, entries[record_id], person)
            progress(1)

        about = f"{len(left)} records, {plan.where}: {plan.reason}"
        async with self._store.audit.doing(person.name, f"{plan.verb} many", name, about):
            await _each(left, one)
        return entries

    async def _done(
        self, plan: BulkPlan, name: str, record_id: RecordId, entry: BulkEntry, person: Person
    ) -> BulkEntry:
        try:
            if entry.seen == ARCHIVED:
                await revived(self._store, record_id, plan.reason, person.name)
            stored = await self._store.records.read(record_id)
            if entry.stage is BulkStage.BEGUN and await self._did(plan, record_id):
                after = replace(entry, stage=BulkStage.DONE)
            elif entry.seen not in (ARCHIVED, self._seen(plan.verb, stored)):
                raise Conflict(f"{record_id} changed since you looked at it: look again.")
            else:
                await self._runs.write(name, record_id, replace(entry, stage=BulkStage.BEGUN))
                becomes = await self._act(plan.verb, stored, ActionRequest(person, plan.reason, entry.seen))
                after = replace(entry, becomes=becomes, stage=BulkStage.DONE)
        except StoreUnavailable:
            raise  # whether it was done is not known: it is found out when this goes on
        except PayflowError as error:
            after = replace(entry, stage=BulkStage.REFUSED, why=str(error))
        await self._runs.write(name, record_id, after)
        return after

    async def _did(self, plan: BulkPlan, record_id: RecordId) -> bool:
        """Tell whether a record that was begun with was moved by this very act, as its history says."""
        events = await self._store.records.history(record_id)
        return any(one.who == plan.by and one.at >= plan.at for one in events)

    async def _act(self, verb: str, stored: Stored, word: ActionRequest) -> str:
        if verb in (RESYNC, RESUME):
            self._refuse_look(verb, stored)
            await self._steering.take_up(stored.record.id, word.who)
            return LOOKED_AT
        return await self._actions.carry_out(verb, stored, word)


def _refuse_unknown(verb: str) -> None:
    if verb not in VERBS:
        raise BadInput(f"There is no act {verb[:20]!r} over many records; there is {', '.join(VERBS)}.")


def _refuse_many(count: int) -> None:
    if count > MOST:
        raise BadInput(f"More than {MOST:,} records are meant: say more narrowly which.")


async def _each(ids: Iterable[RecordId], do: Callable[[RecordId], Awaitable[object]]) -> None:
    """Do something to each, some at a time."""
    line = iter(ids)

    async def work() -> None:
        for one in line:
            await do(one)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(work())
    except* PayflowError as errors:
        raise errors.exceptions[0] from None
