"""What a payout makes of attempts that the rail shows and its record does not: the store was set back."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from machines.core.decision import Decision, New, keep, move, wait
from machines.core.ids import Owner, RecordId
from machines.core.ports import Failed, Reversed, Settled, Trace
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import Attempt, PayoutData, PayoutRecord, parts_of, reference_of

_PROVEN = (Settled, Reversed)

FORGOTTEN = "forgotten with the store, and the rail has no such transfer"

# Where a payout with a living attempt cannot stay, and the move that brings it nearer to its rail.
_ONWARDS = {s.REQUESTED: "approve", s.APPROVED: "process", s.FAILED: "retry"}


def rediscovered(record: PayoutRecord, fact: f.Rediscovered) -> Decision[PayoutData]:
    """Take the attempts in, and go where a payout is that made them; asked again it goes on from there."""
    data = merged(record.id, record.data, fact.attempts)
    known = {attempt.reference for attempt in record.data.attempts}
    found = [attempt for attempt in fact.attempts if attempt.reference not in known]
    trigger = _ONWARDS.get(record.state)
    alive = any(not attempt.failed for attempt in fact.attempts)
    if trigger and alive and (found or record.state == s.APPROVED):
        names = ", ".join(attempt.reference for attempt in fact.attempts)
        return move(
            trigger,
            f"the rail has {names}, which the store had forgotten ({fact.by})",
            data=data.at_rest(reason="", correction=None),
        )
    if found:
        return keep(f"the rail has {len(found)} attempts that the store had forgotten ({fact.by})", data=data)
    if data.attempts == record.data.attempts:
        return wait()
    return keep(f"the rail has names for its attempts that the store had forgotten ({fact.by})", data=data, again_s=0)


def merged(record_id: RecordId, data: PayoutData, found: tuple[Attempt, ...]) -> PayoutData:
    """Put attempts in their order; a number that nobody knows is filled, so that no reference is ever used again.

    Of what is known already only the rail's names are taken: by them it is asked what became of it, retries included.
    """
    known = {attempt.reference: attempt for attempt in (*found, *data.attempts)}
    for one in found:
        known[one.reference] = known[one.reference].named_too((one.handle, *one.named))
    by_number: dict[int, list[Attempt]] = defaultdict(list)
    for reference in sorted(known):
        by_number[number_of(reference)].append(known[reference])
    attempts: list[Attempt] = []
    for number in range(1, max(by_number, default=0) + 1):
        attempts += by_number.get(number) or [
            Attempt(reference_of(record_id, number, data.installation), data.sealed, failed=FORGOTTEN, place=data.place)
        ]
    return replace(data, attempts=tuple(attempts))


def recreated(
    record_id: RecordId, owner: Owner, rail: str, found: Sequence[tuple[Trace, Attempt]], shown: str
) -> tuple[str, New[PayoutData]]:
    """Make anew a payout of which nothing is left but what the rail lists: traces with their attempts, oldest first."""
    newest, last = found[-1]
    paid = next((trace for trace, _ in found if isinstance(trace.status, Settled)), None)
    back = next((trace for trace, _ in found if isinstance(trace.status, Reversed)), None)
    proof = next((one.status.evidence for one in (paid, back) if one and isinstance(one.status, _PROVEN)), None)
    data = PayoutData(
        rail=rail,
        method=newest.to.kind,
        sealed=last.sealed,
        shown=shown,
        send_units=newest.amount.units,
        installation=installation_of(newest.key),
        assessed=True,
        evidence=proof,
        paid_by=paid.key if paid else "",
        place=last.place,
    )
    attempts = tuple(replace(attempt, failed=_failure(trace)) for trace, attempt in found)
    data = merged(record_id, data, attempts)
    for trace, _ in found:
        if isinstance(trace.status, Settled):
            proofs = (trace.status.evidence, *trace.status.also)
            data = data.with_payments(trace.key, tuple(proof.reference for proof in proofs))
    state = s.COMPLETED if paid else s.REVERSED if back else s.PROCESSING
    return state, New(record_id, s.LIFECYCLE.machine, owner, (paid or newest).amount, data)


def _failure(trace: Trace) -> str:
    if isinstance(trace.status, Failed):
        return trace.status.reason or "failed"
    return "the bank sent the money back" if isinstance(trace.status, Reversed) else ""


def number_of(reference: str) -> int:
    """Tell which attempt a reference names."""
    return int(reference.rpartition("-")[2])


def installation_of(reference: str) -> str:
    """Tell which installation made a reference; empty where an older version did, which named none."""
    parts = parts_of(reference)
    return parts[1] if parts else ""
