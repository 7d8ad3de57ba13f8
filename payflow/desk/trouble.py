"""What is wrong now: one list for the overview, the command line and the API, named as the alerts are.

Each look asks the store for one kind of trouble. What it finds says since when it is so, how many are concerned, which
first, what was said last, and the one act that is safe. A trouble bears the name of its alert and of its runbook.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from machines.core.clock import HOUR, MINUTE, Millis
from machines.core.ids import RecordId
from machines.core.money import Money
from machines.core.record import Record
from machines.transaction.data import LaneRecord
from machines.transaction.lifecycle import HALTED
from payflow.desk import outside, readiness
from payflow.desk.lane_steering import LANE
from payflow.desk.reconcile.findings import open_findings
from payflow.desk.steering import in_words
from payflow.shown import exact, grouped, plain, span
from payflow.store.pauses import EVERYTHING, Pause
from payflow.store.store import Store
from payflow.telemetry.health import Level

FIRST = 5
"""So many records of a trouble are named."""
COUNTED = 100
"""So many of them are summed up."""
FAILS_AFTER_MS = MINUTE
"""A look may fail and the next one learn something: nobody is told of less."""
LATE_MS = 5 * MINUTE
UNCHECKED_MS = 26 * HOUR
"""As the alert says: books that nobody has walked over for so long prove nothing."""
CONTRADICTED = "Contradiction:"


@dataclass(frozen=True, slots=True)
class TroubledRecord:
    """One record that is concerned, and what was said of it last."""

    id: RecordId
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that is wrong."""

    name: str
    """That of its alert, and of its runbook."""
    level: Level
    """Whether money stands still or may be wrong, or somebody should look in the next days."""
    says: str
    act: str
    """What is safe to do, as it is typed where it is a command; what is not in it is not."""
    since: Millis | None = None
    count: int = 0
    sums: tuple[str, ...] = ()
    """The money of those that are concerned; as far as they were read, where there are very many."""
    records: tuple[TroubledRecord, ...] = ()
    place: str = ""
    """Where it is seen, under the dashboard."""

    @property
    def runbook(self) -> str:
        """Where it is explained."""
        return f"deploy/runbooks/{self.name}.md"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What several looks need, asked once."""

    store: Store
    now: Millis
    pauses: Sequence[Pause] = field(default=())


Look = Callable[[_Seen], Awaitable[list[Trouble]]]


async def troubles(store: Store) -> list[Trouble]:
    """Look for all that is wrong; what stops money comes first, and what has been so for longest."""
    now = await store.records.now()
    seen = _Seen(store, now, [*(await store.pauses.all()).values()])
    found = [one for some in await asyncio.gather(*(look(seen) for look in LOOKS)) for one in some]
    return sorted(found, key=lambda one: (one.level is not Level.FAIL, one.since or now, one.name))


# ── the store, and who works ─────────────────────────────────────────────────────────────────────────────────────────


async def _readiness(seen: _Seen) -> list[Trouble]:
    names = {"durability": "StoreNotDurable", "replicas": "StoreNotDurable", "permits": "SigningKeyUnknown"}
    checks = [one for one in await readiness.examine(seen.store) if one.name in names]
    return [
        Trouble(name=names[one.name], level=one.level, says=one.finding, act="payflow doctor")
        for one in checks
        if one.level is Level.FAIL or (one.name == "permits" and seen.store.permit_keys.unknown)
    ]


async def _asked_outside(seen: _Seen) -> list[Trouble]:
    return [
        Trouble(name="OutsideUnfit", level=Level.WARN, says=f"{who}: {said}", act="payflow doctor --live")
        for who, said in (await outside.failed_last(seen.store)).items()
    ]


async def _workers(seen: _Seen) -> list[Trouble]:
    """Tell a worker that is gone from workers that have too much to do."""
    late = [one for one in await seen.store.listing.counts_by_state() if one.late_since is not None]
    since = min((one.late_since for one in late if one.late_since is not None), default=seen.now)
    if seen.now - since < MINUTE:
        return []
    due, waits = sum(one.due for one in late), span(seen.now - since)
    if not await readiness.workers(seen.store):
        says = f"No worker runs, and {due:,} records wait to be looked at."
        return [Trouble(name="WorkerGone", level=Level.FAIL, says=says, since=since, count=due, act="payflow worker")]
    if seen.now - since < LATE_MS:
        return []
    says = f"{due:,} records should have been looked at, the first of them {waits} ago."
    return [
        Trouble(
            name="WorkersBehind",
            level=Level.WARN,
            says=says,
            since=since,
            count=due,
            act="payflow top",
            place="/records?order=oldest",
        )
    ]


# ── what sends nothing ───────────────────────────────────────────────────────────────────────────────────────────────


async def _paused(seen: _Seen) -> list[Trouble]:
    lost = [one for one in seen.pauses if one.scope.startswith("shard:")]
    found = [_pause(one) for one in seen.pauses if one not in lost]
    if lost:
        first = min(lost, key=attrgetter("at"))
        shards = ", ".join(sorted(one.scope for one in lost))
        says = f"The store lost writes that it had acknowledged ({shards}): {first.why}"
        found.append(
            Trouble(
                name="SequenceAlarm",
                level=Level.FAIL,
                says=says,
                since=first.at,
                count=len(lost),
                act="payflow reconcile",
                place="#switches",
            )
        )
    return found


def _pause(one: Pause) -> Trouble:
    where = in_words(one.scope)
    act, name, level = f"payflow resume {one.scope} --why …", "PausedForLong", Level.WARN
    says = f"Sends are paused: {where}, by {one.who}: {one.why}"
    if one.code:
        act, name, level = "payflow doctor --live", "RailClosed", Level.FAIL
        says = f"{where.capitalize()} refuses every payment of ours: {one.why}"
    elif one.why.startswith(CONTRADICTED):
        act, name, level = "payflow ls --stuck", "RailContradicted", Level.FAIL
        says = f"The books of {where} and ours cannot both be true: {one.why.removeprefix(CONTRADICTED).strip()}"
    elif one.scope == EVERYTHING:
        level = Level.FAIL
    return Trouble(name=name, level=level, says=says, since=one.at, act=act, place="#switches")


async def _wallets(seen: _Seen) -> list[Trouble]:
    found = []
    for one in await seen.store.shortfalls.all(seen.now):
        assets = seen.store.records.assets
        held = "what it does not say" if one.held is None else exact(one.held, one.asset, assets)
        says = f"The wallet at {one.rail} holds {held}, too little for {one.payouts:,} payouts that wait for it."
        sums = (exact(one.units, one.asset, assets),)
        found.append(
            Trouble(
                name="WalletTooLow",
                level=Level.FAIL,
                says=says,
                since=one.since,
                count=one.payouts,
                sums=sums,
                act=f"Fund the wallet at {one.rail}: they leave by themselves, the oldest first.",
            )
        )
    return found


async def _lanes(seen: _Seen) -> list[Trouble]:
    if LANE not in seen.store.records.machines:
        return []
    halted: list[LaneRecord] = [one.record for one in await seen.store.listing.in_state(LANE, HALTED, COUNTED)]
    return [
        Trouble(
            name="LaneStuck",
            level=Level.FAIL,
            since=one.since,
            count=len(one.data.suspects),
            records=(TroubledRecord(one.id),),
            says=f"The lane {one.data.name} stopped: somebody else sent from its address what may have paid for us.",
            act=f"payflow lane show {one.data.name}",
            place=f"/records/{one.id}",
        )
        for one in halted
    ]


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _failing(seen: _Seen) -> list[Trouble]:
    """Tell of looks that fail, by machine and state: what keeps them from learning anything is said by the first."""
    _, found = await seen.store.listing.failing(Millis(seen.now - FAILS_AFTER_MS), COUNTED)
    groups = defaultdict(list)
    for one in found:
        groups[one.record.machine, one.record.state].append(one)
    return [
        Trouble(
            name="LooksFail",
            level=Level.FAIL,
            since=group[0].since,
            count=len(group),
            sums=_sums(one.record for one in group),
            says=f"Looks at {_many(group, machine)} in {plain(state)} fail: {group[-1].error}",
            records=tuple(TroubledRecord(one.record.id, one.error) for one in group[:FIRST]),
            act="Wait: they are tried again by themselves, ever more seldom. `payflow retry ID` looks now.",
            place=f"/records?machine={machine}&state={state}&order=oldest",
        )
        for (machine, state), group in groups.items()
    ]


async def _stuck(seen: _Seen) -> list[Trouble]:
    found = []
    for (machine, state), count in (await seen.store.listing.stuck()).items():
        if not count:
            continue
        first = [one.record for one in await seen.store.listing.in_state(machine, state, min(count, COUNTED))]
        after_s = seen.store.records.machines[machine].lifecycle.state(state).stuck_after_s or 0
        found.append(
            Trouble(
                name="RecordsStuck",
                level=Level.WARN,
                since=first[0].since if first else None,
                count=count,
                sums=_sums(first),
                says=f"{count:,} in {plain(state)} ({machine}) for longer than {span(int(after_s * 1000))}.",
                records=tuple(TroubledRecord(one.id) for one in first[:FIRST]),
                act="payflow ls --stuck",
                place=f"/records?machine={machine}&state={state}&order=oldest",
            )
        )
    return found


async def _parked(seen: _Seen) -> list[Trouble]:
    count = await seen.store.listing.count_parked()
    if not count:
        return []
    found = await seen.store.listing.parked(FIRST)
    says = f"{count:,} set aside after what nobody foresaw: {found[0][1] if found else ''}"
    records = tuple(TroubledRecord(one, why) for one, why in found)
    return [
        Trouble(
            name="RecordsParked",
            level=Level.FAIL,
            says=says,
            count=count,
            records=records,
            act="payflow retry ID, once the cause is gone",
            place="/records?parked=1",
        )
    ]


# ── books and news ───────────────────────────────────────────────────────────────────────────────────────────────────


async def _books(seen: _Seen) -> list[Trouble]:
    last = await seen.store.ledger.last_check()
    if last is None:
        return []
    if not last.conserved:
        says = "The books do not balance: money was lost or made in them, or somebody wrote to the store."
        return [
            Trouble(
                name="LedgerNotConserved",
                level=Level.FAIL,
                says=says,
                since=last.at,
                act="payflow ledger",
                place="/ledger",
            )
        ]
    if seen.now - last.at < UNCHECKED_MS:
        return []
    says = f"Nobody has walked over the books for {span(seen.now - last.at)}."
    return [
        Trouble(
            name="LedgerUnchecked", level=Level.WARN, says=says, since=last.at, act="payflow ledger", place="/ledger"
        )
    ]


async def _findings(seen: _Seen) -> list[Trouble]:
    return [
        Trouble(
            name="BooksDifferFromRail",
            level=Level.FAIL if severity == "severe" else Level.WARN,
            count=count,
            says=f"{count:,} times our books and what {rail} says differ: {kind}.",
            act="payflow finding ls",
            place="/reconciliation",
        )
        for (rail, kind, severity), count in (await open_findings(seen.store)).items()
        if count
    ]


async def _outbox(seen: _Seen) -> list[Trouble]:
    given_up = await seen.store.outbox.given_up()
    if not given_up:
        return []
    what = (
        "1 message was given up: nobody took it"
        if given_up == 1
        else f"{given_up:,} messages were given up: nobody took them"
    )
    says = f"{what} for a day."
    return [
        Trouble(
            name="OutboxGivenUp", level=Level.WARN, says=says, count=given_up, act="payflow outbox ls", place="/outbox"
        )
    ]


LOOKS: tuple[Look, ...] = (
    _readiness,
    _asked_outside,
    _workers,
    _paused,
    _wallets,
    _lanes,
    _failing,
    _stuck,
    _parked,
    _books,
    _findings,
    _outbox,
)


def _many(group: Sequence[object], machine: str) -> str:
    return f"one {machine}" if len(group) == 1 else f"{len(group)}{'+' if len(group) == COUNTED else ''} {machine}s"


def _sums(records: Iterable[Record[Any]]) -> tuple[str, ...]:
    """Sum up amounts, a sum for each asset."""
    sums: dict[str, Money] = {}
    for one in records:
        if one.amount:
            code = one.amount.asset.code
            sums[code] = sums[code] + one.amount if code in sums else one.amount
    return tuple(map(grouped, sums.values()))
