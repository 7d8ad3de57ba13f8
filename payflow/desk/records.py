"""What is told of records beside what they are: who moves one on and when, what stops its sends, which moved lately."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from machines.core.clock import SECOND, Millis
from machines.core.errors import BadInput, NotAllowed, NotFound, NotPossible, StepError, TooSoon
from machines.core.facts import Fact, Reading
from machines.core.ids import Owner, RecordId, parse_id
from machines.core.lifecycle import By, Lifecycle
from machines.core.record import Record
from machines.transaction.data import owner_of_lane
from payflow.engine.step import Applied, take_in
from payflow.shown import span, utc
from payflow.store.codec import HistoryEvent
from payflow.store.listing import ListCursor, Outlook
from payflow.store.pauses import EVERYTHING, Pause, scope_of_shard
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

# A move that is committed while we look may carry a time just before our look.
OVERLAP_MS = 2_000
MOST_REMEMBERED = 100_000
# Where few of an owner's records fit, so many are looked through before a page is given as far as it is.
MOST_LOOKED_THROUGH = 500
SLICE = 100
REVIVED_BY = "rail"
COULD_NOT = "could not be asked"
_LANE = owner_of_lane("")

FactSource: TypeAlias = Fact | Callable[[Any], Awaitable[Fact]]
"""A fact, or what makes one of the record right before it is told."""

# ── told ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def tell(store: Store, metrics: Metrics, record_id: RecordId, source: FactSource, who: str) -> Applied:
    """Let a record learn something; what it refuses is not possible now, and nothing is wrong with who asked."""
    try:
        return await take_in(store.records, metrics, record_id, source, who)
    except (NotAllowed, NotPossible, TooSoon):
        raise
    except BadInput as error:
        raise NotPossible(str(error)) from error


async def reading_of(store: Store, record: Record[Any]) -> Reading:
    """Ask rail, chain or pool about a record, right before a person decides; what cannot be asked proves nothing."""
    prove = store.records.machines[record.machine].prove
    if prove is None:
        return Reading()
    try:
        return await prove(record)
    except StepError as error:
        return Reading(read=((COULD_NOT, str(error)),))


# ── one ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def what_next(lifecycle: Lifecycle, record: Record[Any], outlook: Outlook, now: Millis, take_up: str) -> str:
    """Say in a sentence or two who moves a record on, and when; `take_up` says how to have it looked at again."""
    state = lifecycle.state(record.state)
    ways = ", ".join(f"{one} → {lifecycle.target(state.name, one).name}" for one in lifecycle.triggers(state.name))
    if record.parked:
        return f"Nobody looks: it was set aside ({record.parked}). {take_up}"
    if state.by is By.POLLER:
        return _next_look(record, outlook, now, take_up)
    if state.by is By.PERSON:
        return f"A person decides: {ways}."
    if state.by is By.OUTSIDE:
        return f"It waits for the world outside: {ways}."
    return "Nothing: its story ends here."


def _next_look(record: Record[Any], outlook: Outlook, now: Millis, take_up: str) -> str:
    failed = f" {failing(record, outlook)}" if record.tries else ""
    if outlook.at is None:
        return f"Nobody looks any more.{failed} {take_up}"
    if outlook.leased:
        return f"A worker looks at it now; its lease ends in {span(max(0, outlook.at - now))}.{failed}"
    if outlook.at <= now:
        return f"A look has been due for {span(now - outlook.at)}.{failed}"
    return f"The next look is at {utc(outlook.at)} UTC, in {span(outlook.at - now)}.{failed}"


def failing(record: Record[Any], outlook: Outlook) -> str:
    """Say how often looks at a record have failed in a row, and why the last one did."""
    looks = "The last look failed" if record.tries == 1 else f"{record.tries} looks in a row have failed"
    return f"{looks}: {outlook.error}" if outlook.error else f"{looks}."


def stopping(record: Record[Any], pauses: Iterable[Pause]) -> list[Pause]:
    """Name the pauses that stop this record's sends: those of its rail too, where it says which that is."""
    shard = scope_of_shard(parse_id(record.id)[1])
    scopes = {EVERYTHING, f"machine:{record.machine}", f"owner:{record.owner}", shard}
    for name in (getattr(record.data, "rail", ""), getattr(record.data, "lane", "")):
        if isinstance(name, str) and name:
            scopes |= {f"rail:{name}", f"lane:{name}"}  # a lane is a rail too, and either switch stops it
    return [pause for pause in pauses if pause.scope in scopes]


def lane_of(record: Record[Any], coins: Mapping[str, str], bounty_lane: str) -> str:
    """Name the lane, or the other rail, that a record is paid over; empty where none is.

    `coins` names the lane that pays the miners of each pool.
    """
    if record.owner.startswith(_LANE):
        return record.owner.removeprefix(_LANE)
    match record.machine:
        case "pool":
            return coins.get(record.data.coin, "")
        case "bounty":
            return bounty_lane
        case _:
            rail = getattr(record.data, "rail", "")
            return rail if isinstance(rail, str) else ""


def is_stuck(lifecycle: Lifecycle, record: Record[Any], now: Millis) -> bool:
    """Whether it has been in its state for longer than it should."""
    after_s = lifecycle.state(record.state).stuck_after_s
    return after_s is not None and now - record.since > after_s * SECOND


async def revived(store: Store, record_id: RecordId, why: str, who: str = REVIVED_BY) -> Record[Any]:
    """Read a record that is to be moved; one that was archived comes back for it."""
    try:
        return (await store.records.read(record_id)).record
    except NotFound:
        if not await store.archive.bring_back(record_id, who, why):
            raise
        return (await store.records.read(record_id)).record


# ── an owner's ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def owned_page(
    store: Store, owners: Sequence[Owner], after: ListCursor | None, fits: Callable[[Record[Any]], bool], limit: int,
    *, since: Millis | None = None, until: Millis | None = None,
) -> tuple[list[Record[Any]], ListCursor | None]:  # fmt: skip
    """Give one page of those that fit, the newest first, and the place behind which the next one begins; None: none."""
    place, found = after, list[Record[Any]]()
    for _ in range(MOST_LOOKED_THROUGH // SLICE):
        places = await store.listing.owned_before(owners, place, since, until, SLICE)
        read = {one.record.id: one.record for one in await store.records.readable(place.id for place in places)}
        for place in places:
            if place.id in read and fits(read[place.id]):
                found.append(read[place.id])
            if len(found) == limit:
                return found, place if place != places[-1] or len(places) == SLICE else None
        if len(places) < SLICE:
            return found, None
    return found, place


# ── all, as they move ────────────────────────────────────────────────────────────────────────────────────────────────


class News(NamedTuple):
    """A move of a record, and where the record was before it: nowhere, when it was made."""

    record: RecordId
    source: str
    event: HistoryEvent


class Moves:
    """Finds the moves that came since the last look. It costs the payments nothing."""

    def __init__(self, store: Store, start: Millis) -> None:
        self._store = store
        self._start = start
        self._since = start
        self._seen: OrderedDict[RecordId, int] = OrderedDict()

    async def news(self) -> list[News]:
        """Give what is new, oldest first."""
        now = await self._store.records.now()
        moved: set[RecordId] = set()
        for machine in self._store.records.machines.values():
            for state in machine.lifecycle.states:
                moved.update(await self._store.listing.moved_since(machine.name, state, self._since))
        self._since = Millis(max(self._start, now - OVERLAP_MS))
        found = [news for record_id in moved for news in await self._of(record_id)]
        return sorted(found, key=lambda news: (news.event.at, news.event.version))

    async def _of(self, record_id: RecordId) -> list[News]:
        events = await self._store.records.history(record_id)
        first = self._seen.get(record_id)
        if first is None:
            # Its newest move brought it here, even when the look that made it began before ours.
            first = next((event.version - 1 for event in events if event.at >= self._start), len(events) - 1)
        self._seen[record_id] = len(events)
        self._seen.move_to_end(record_id)
        if len(self._seen) > MOST_REMEMBERED:
            self._seen.popitem(last=False)
        return [
            News(record_id, events[at - 1].state if at else "", events[at])
            for at in range(first, len(events))
            if events[at].trigger or at == 0
        ]
