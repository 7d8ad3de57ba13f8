"""Whether a run kept the promise, by the gateway's own book.

What we sent counts as known at once; what a click began counts as known once the gateway would have told us: on v4 that
takes a webhook, because a transfer does not name its retries there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adapters.sandbox.transfers import TransferState
from machines.core.clock import MINUTE, Millis
from machines.core.lifecycle import Position
from machines.payout import lifecycle as s
from machines.payout.data import PayoutRecord
from payflow.simulation.conditions import Conditions, since
from payflow.simulation.outside import RESTING
from payflow.simulation.run import PayoutRun
from payflow.store.codec import HistoryEvent

AT_ONCE_MS = MINUTE
"""What happened so shortly before an act cannot have been seen by it."""
MOST_MESSAGES = 10_000


@dataclass(frozen=True, slots=True)
class TransferLife:
    """From when to when a transfer could be paid, and whether it was."""

    reference: str
    began: Millis
    knowable: Millis | None
    """From when on we could know of it; None where we never could."""
    over: Millis | None
    """When it failed, or came back."""
    paid: Millis | None
    """When it was paid, and did not come back."""
    ours: bool
    """Whether our call began it, and not a click."""

    def alive(self, at: int) -> bool:
        """Say whether it could still be paid at a time, or was."""
        return self.began <= at and (self.over is None or at < self.over)

    def known(self, at: int) -> bool:
        """Say whether we could know of it at a time."""
        return self.knowable is not None and self.knowable <= at


@dataclass(frozen=True, slots=True)
class RunResult:
    """What became of a run."""

    seed: int
    conditions: Conditions
    state: str
    help: tuple[str, ...]
    """What people had to do before the payout could go on, or come to rest."""
    took_ms: int
    """From the request to the state in which it came to rest."""
    looks: int
    deaths: int
    faults: tuple[str, ...]
    """How the promise was broken."""
    story: tuple[str, ...] = ()
    """What happened, line by line; of a run with faults, or of any where it was asked for."""


async def played(run: PayoutRun, *, tell: bool) -> RunResult:
    """Let a run live, and judge it."""
    record = await run.live()
    faults, lines = await _judged(run, record)
    run.parts.store.guard.close()
    return RunResult(
        run.seed,
        run.conditions,
        record.state,
        tuple(run.outside.needed),
        record.since - record.created_at,
        run.looks,
        run.deaths,
        faults,
        lines if tell or faults else (),
    )


async def _judged(run: PayoutRun, record: PayoutRecord) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name what was wrong, and tell the story."""
    store = run.parts.store
    history = await store.records.history(record.id)
    alarmed = [post for post in await store.outbox.take(MOST_MESSAGES, 1) if post.kind == "alarm"]
    lives, quiet = list(_lives(run)), run.conditions.nothing_to_report
    faults = [
        *_sent_anew(run, lives),
        *_given_back(run, history, lives),
        *_at_the_end(run, record, lives, alarmed=bool(alarmed) or bool(record.data.also_paid)),
        *_elsewhere(run, record),
        # What was stopped although nothing was wrong.
        *(f"false alarm: {what}" for what in run.outside.needed[:1] if quiet and "settle" not in what),
        *[f"books: {fault}" for fault in (await store.ledger.check()).faults],
        *[f"store: {fault.place}: {fault.problem}" async for fault in store.integrity.verify()],
    ]
    for event in history:
        move = f"{event.trigger} → {event.state}" if event.trigger else f"stays in {event.state}"
        run.story.events.append((event.at, event.who, f"{move} ({event.fact}) {event.why}"))
    return tuple(dict.fromkeys(faults)), (f"seed {run.seed}: {run.conditions}", *run.story.lines())


def _lives(run: PayoutRun) -> Iterator[TransferLife]:
    gateway = run.gateway
    for transfer in gateway.transfers.all:
        over = transfer.ended_at if transfer.state is TransferState.FAILED else transfer.reversed_at
        paid = transfer.ended_at if transfer.state is TransferState.PAID else None
        clicked = gateway.clicked.get(transfer.id)
        began = gateway.called.get(transfer.id, Millis(transfer.created_at))  # what was in between could not be seen
        if transfer.parent is not None:
            knowable = gateway.heard.get(transfer.id) if run.conditions.api == "v4" else began
            yield TransferLife(transfer.reference, began, knowable, over, paid, ours=False)
        elif clicked is not None:  # under its own reference: it failed, and began again
            yield TransferLife(transfer.reference, began, began, gateway.failed_first[transfer.id], None, ours=True)
            yield TransferLife(transfer.reference, clicked, clicked, over, paid, ours=False)
        else:
            yield TransferLife(transfer.reference, began, began, over, paid, ours=True)


def _sent_anew(run: PayoutRun, lives: Sequence[TransferLife]) -> Iterator[str]:
    """Find what we sent while something before it could still be paid, or was and nobody decided to pay again."""
    for sent in (life for life in lives if life.ours):
        for other in lives:
            before = other.reference != sent.reference and other.began < sent.began and other.alive(sent.began)
            # Two people who were shown that it was paid may still put the payout back, such as for another account.
            decided = other.paid is not None and any(other.paid <= at <= sent.began for at in run.outside.overrode)
            if before and not decided and (other.ours or other.known(sent.began - AT_ONCE_MS)):
                what = "paid twice" if sent.paid and other.paid else "sent anew"
                yield f"{what}: {sent.reference} went out while {other.reference} was alive"


def _given_back(run: PayoutRun, history: Sequence[HistoryEvent], lives: Sequence[TransferLife]) -> Iterator[str]:
    """Find when money became available again while it was under way, or paid."""
    before = s.REQUESTED
    for event in history:
        was, now = (s.LIFECYCLE.state(name).position for name in (before, event.state))
        if now is Position.AVAILABLE and was is not now and event.state != s.REVERSED:
            alive = [each for each in lives if each.alive(event.at)]
            known = [each for each in alive if each.ours or each.known(event.at - AT_ONCE_MS)]
            if known and event.at not in run.outside.overrode:
                yield f"given back: {before} → {event.state} while {known[0].reference} was alive"
        before = event.state


def _at_the_end(run: PayoutRun, record: PayoutRecord, lives: Sequence[TransferLife], *, alarmed: bool) -> Iterator[str]:
    """Compare where the payout came to rest with what the gateway did, as far as it could be known by then."""
    paid = [each for each in lives if each.paid is not None]
    surely = [each for each in paid if each.known(run.last_look) and (each.paid or 0) <= run.last_look]
    names = " and ".join(each.reference for each in surely)
    if record.parked:
        yield f"not at rest: set aside: {record.parked}"
    if run.endless:
        yield f"not at rest: still looked at in {record.state}"
    if record.state not in RESTING:
        yield f"not at rest: {record.state} after {run.looks} looks and {since(run.story.began, run.clock.at)}"
        return
    position = s.LIFECYCLE.state(record.state).position
    if position is Position.PAID and not paid and not alarmed:
        yield f"lost: {record.state}, and nothing was paid, or it came back"
    # Two people may take back what they were shown to be paid; what is paid after their word is another matter.
    unknown = [each for each in surely if record.since not in run.outside.overrode or (each.paid or 0) > record.since]
    if position is not Position.PAID and unknown:
        yield f"lost: {record.state}, and {names} was paid"
    if len(surely) > 1 and not alarmed:
        yield f"untold: {names} were paid"


def _elsewhere(run: PayoutRun, record: PayoutRecord) -> Iterator[str]:
    """Find what went to another account than was asked for and approved, or with another amount."""
    opened = [run.parts.store.seals.open(attempt.sealed, record.id) for attempt in record.data.attempts]
    allowed = {each["account_number"] for each in opened if each in run.outside.destinations}
    for entry in run.gateway.transfers.book:
        if entry.account not in allowed or abs(entry.amount) != run.amount:
            yield f"elsewhere: {entry.reference} brought {entry.amount} to {entry.account}"
