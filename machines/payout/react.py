"""What a fact means to a payout. Pure: a record, a fact and the time give a decision."""

from dataclasses import replace
from functools import partial
from typing import Any

from machines.core.clock import SECOND, Millis
from machines.core.decision import Decision, contradiction, keep, move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, LostSight, Nothing, Override, Refused, override
from machines.core.machine import Machine, Prove
from machines.core.ports import Act, Cause, Evidence
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import Approval, Attempt, PayoutData, PayoutRecord, reference_of
from machines.payout.messages import news, review_needed
from machines.payout.policy import Policy

Choice = Decision[PayoutData]

NEVER_S = -1.0
WATCH_S = 6 * 3600.0


def payout(
    policy: Policy, acts: dict[str, Act[PayoutData]], prove: Prove[PayoutData] | None = None
) -> Machine[PayoutData]:
    """Make the machine."""
    return Machine(
        lifecycle=s.LIFECYCLE, data=PayoutData, facts=f.FACTS, react=partial(react, policy), acts=acts, prove=prove
    )


def react(policy: Policy, record: PayoutRecord, fact: Fact, now: Millis) -> Choice:
    """Decide; one case a line, the reasons below."""
    match record.state, fact:
        case _, Override():
            return override(s.LIFECYCLE, record, fact)
        # ── the money's own story: what a rail proves, in whatever state it surfaces ──
        case ((s.PROCESSING | s.UNCONFIRMED | s.FAILED), f.Paid(reference, evidence)):
            return _paid(policy, record, reference, evidence, now)
        case ((s.CANCELLED | s.REVERSED | s.REJECTED), f.Paid(reference, evidence)):
            return _paid_after_all(record, reference, evidence)
        case ((s.COMPLETED | s.CONTRADICTED), f.Paid(reference, _)):
            return _paid_already(record, reference)
        case ((s.PROCESSING | s.UNCONFIRMED), f.NotPaid(reference)):
            return _not_paid(policy, record, fact) if _is_current(record, reference) else _stale(fact)
        case ((s.COMPLETED | s.CONTRADICTED), f.NotPaid(reference, reason)) if record.data.paid_by == reference:
            return contradiction(f"{reference} was paid, now the rail says it was not: {reason}")
        case ((s.COMPLETED | s.CONTRADICTED), f.CameBack(reference, evidence)) if record.data.paid_by == reference:
            return _came_back(record, evidence)
        case ((s.PROCESSING | s.UNCONFIRMED | s.FAILED), f.CameBack(reference, evidence)):
            return contradiction(f"{reference} came back, but is not known as paid ({evidence.reference})")
        # ── asked for ──
        case s.REQUESTED, f.Assessed(findings, needed):
            return _assessed(record, findings, needed)
        case s.REQUESTED, f.Approved():
            return _approved(record, fact, now)
        case s.REQUESTED, f.Rejected(by, reason):
            told = news(record, "rejected", reason=reason)
            return move("reject", f"{by}: {reason}", data=replace(record.data, reason=reason), messages=told)
        case ((s.REQUESTED | s.APPROVED), f.Cancelled(by, reason)):
            return _given_back(policy, record, "cancel", f"{by}: {reason}", now)
        # ── approved, waiting for its batch ──
        case s.APPROVED, f.Waits(until):
            return _waits(record, until, now)
        case s.APPROVED, f.Boarded(batch):
            return move("process", f"batch {batch}", data=_next_attempt(record, batch=batch, opens_at=0))
        # ── with the rail ──
        case s.PROCESSING, f.Submitted(reference, handle) if _is_current(record, reference):
            data = record.data.with_current(sent=True, handle=handle)
            return keep("handed to the rail", data=data) if data != record.data else wait()
        case s.PROCESSING, f.UnderWay(reference, waiting_for) if _is_current(record, reference):
            return _under_way(record, waiting_for)
        case s.PROCESSING, LostSight(reason):
            data = replace(record.data.with_current(sent=True), unseen=0, unseen_since=now)
            return move("lose_sight", reason, data=data, again_s=5)
        case s.PROCESSING, Refused(reason):
            return _fail(policy, record, reason, retryable=False)
        case s.UNCONFIRMED, f.UnderWay(reference) if _is_current(record, reference):
            return move("find", "the rail has it", data=replace(record.data, unseen=0))
        case s.UNCONFIRMED, f.NotSeen(reference) if _is_current(record, reference):
            return _not_seen(policy, record, now)
        case s.UNCONFIRMED, LostSight():
            return wait()
        # ── failed ──
        case s.FAILED, f.AllProvenUnpaid(attempts) if attempts == len(record.data.attempts):
            return _retry_if_due(policy, record, now)
        case s.FAILED, f.Retried(by):
            return move("retry", f"{by} says once more", data=_next_attempt(record))
        case s.FAILED, f.Released():
            return _released(policy, record, fact, now)
        case s.FAILED, f.Corrected():
            return _corrected(record, fact)
        case s.FAILED, f.Approved():
            return _correction_approved(record, fact, now)
        # ── over ──
        case (
            (s.COMPLETED | s.CANCELLED | s.CONTRADICTED),
            (Nothing() | f.UnderWay() | f.NotSeen() | f.AllProvenUnpaid()),
        ):
            return wait(NEVER_S if now >= record.data.watch_until else None)
        case _, (
            Nothing() | f.Waits() | f.UnderWay() | f.NotSeen() | f.AllProvenUnpaid() | f.Submitted() | LostSight()
        ):
            return wait()
        case _, (f.Approved() | f.Rejected() | f.Cancelled() | f.Retried() | f.Released() | f.Corrected()):
            raise BadInput(f"{record.id} is {record.state}: it cannot be {type(fact).__name__.lower()} any more.")
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")


# ── asked for ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _assessed(record: PayoutRecord, findings: tuple[Any, ...], needed: int) -> Choice:
    if record.data.assessed:
        return wait()
    data = replace(record.data, assessed=True, findings=findings, approvals_needed=needed)
    if not findings:
        return move("approve", "low risk", data=data, messages=news(record, "approved"), again_s=0)
    why = "needs review: " + ", ".join(finding.code for finding in findings)
    return keep(why, data=data, messages=(*news(record, "received"), review_needed(record, findings)))


def _approved(record: PayoutRecord, fact: f.Approved, now: Millis) -> Choice:
    data = replace(record.data, approvals=(*_valid_approvals(record, fact), Approval(fact.by, now, fact.fingerprint)))
    missing = data.approvals_needed - len(data.approvals)
    if missing > 0:
        return keep(f"{fact.by} said yes; {missing} more must", data=data)
    return move("approve", f"{fact.by} said yes", data=data, messages=news(record, "approved"), again_s=0)


def _valid_approvals(record: PayoutRecord, fact: f.Approved) -> tuple[Approval, ...]:
    """Give the earlier approvals that still count, or refuse the new one."""
    data = record.data
    if not data.assessed:
        raise BadInput(f"{record.id} is still being assessed: try again in a moment.")
    if fact.by == data.requested_by:
        raise BadInput(f"{fact.by} asked for {record.id} and cannot approve it: another person must.")
    if fact.fingerprint != data.fingerprint:
        raise BadInput(f"{record.id} changed since you looked at it: look at amount and destination again.")
    valid = tuple(approval for approval in data.approvals if approval.fingerprint == data.fingerprint)
    if any(approval.by == fact.by for approval in valid):
        raise BadInput(f"{fact.by} approved {record.id} already: a second person must.")
    return valid


# ── approved, and with the rail ──────────────────────────────────────────────────────────────────────────────────────


def _waits(record: PayoutRecord, until: int, now: Millis) -> Choice:
    again_s = max(0.0, (until - now) / SECOND)
    if record.data.opens_at == until:
        return wait(again_s)
    return keep("waits for its batch", data=replace(record.data, opens_at=until), again_s=again_s)


def _next_attempt(record: PayoutRecord, **changes: Any) -> PayoutData:
    """Open an attempt with a reference of its own, unless the newest one was never sent."""
    data = replace(record.data, waiting_for="", unseen=0, unseen_since=0, **changes)
    if data.current and not data.current.sent and not data.current.failed:
        return data.with_current(sealed=data.sealed)
    reference = reference_of(record.id, len(data.attempts) + 1)
    return replace(data, attempts=(*data.attempts, Attempt(reference, data.sealed)))


def _under_way(record: PayoutRecord, waiting_for: str) -> Choice:
    data = replace(record.data.with_current(sent=True), waiting_for=waiting_for)
    if data == record.data:
        return wait()
    return keep(f"waits for {waiting_for} at the rail" if waiting_for else "the rail works on it", data=data)


def _not_seen(policy: Policy, record: PayoutRecord, now: Millis) -> Choice:
    data = record.data
    if now - data.unseen_since < policy.settle_window_ms:
        return wait(max(1.0, (data.unseen_since + policy.settle_window_ms - now) / SECOND))
    if data.unseen + 1 < policy.looks_unseen:
        return keep("not found at the rail", data=replace(data, unseen=data.unseen + 1))
    why = f"not found {policy.looks_unseen} times after the settle window: the same reference goes out again"
    return move("find", why, data=replace(data, unseen=0, unseen_since=0))


def _is_current(record: PayoutRecord, reference: str) -> bool:
    return record.data.current is not None and record.data.current.reference == reference


def _stale(fact: f.NotPaid) -> Choice:
    return noted(f"{fact.reference} failed, which is not the current attempt")


# ── paid ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _paid(policy: Policy, record: PayoutRecord, reference: str, evidence: Evidence, now: Millis) -> Choice:
    """Complete, whichever attempt was paid; a person must know when a newer one may be under way as well."""
    data = replace(
        record.data, evidence=evidence, paid_by=reference, waiting_for="", reason="", watch_until=now + policy.watch_ms
    )
    current = record.data.current
    alarm = ""
    if current and current.sent and not current.failed and current.reference != reference:
        alarm = f"{reference} was paid while {current.reference} may be under way"
    told = news(record, "completed", reference=reference)
    return move("complete", f"{reference} is proven paid", data=data, messages=told, alarm=alarm, again_s=WATCH_S)


def _paid_after_all(record: PayoutRecord, reference: str, evidence: Evidence) -> Choice:
    why = f"{reference} was paid after the payout was {record.state}"
    return move("contradict", why, data=replace(record.data, evidence=evidence, paid_by=reference), alarm=why)


def _paid_already(record: PayoutRecord, reference: str) -> Choice:
    if record.data.paid_by == reference:
        return wait()
    return contradiction(f"{reference} was paid, and so was {record.data.paid_by or 'another'}: paid twice")


def _came_back(record: PayoutRecord, evidence: Evidence) -> Choice:
    told = news(record, "reversed", reference=record.data.paid_by)
    return move("reverse", "the rail sent it back", data=replace(record.data, evidence=evidence), messages=told)


# ── not paid ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _not_paid(policy: Policy, record: PayoutRecord, fact: f.NotPaid) -> Choice:
    if fact.cause is Cause.WALLET:
        data = replace(
            record.data.with_current(sent=True, failed=fact.reason), batch="", opens_at=0, reason=fact.reason
        )
        return move("defer", f"the wallet was empty: {fact.reason}", data=data, again_s=300)
    return _fail(policy, record, fact.reason, retryable=fact.retryable)


def _fail(policy: Policy, record: PayoutRecord, reason: str, *, retryable: bool) -> Choice:
    failures = record.data.failures + 1
    data = replace(record.data.with_current(failed=reason), failures=failures, reason=reason, waiting_for="")
    by_itself = retryable and failures <= len(policy.retry_after_s)
    if by_itself:
        told = news(record, "failed", reason=reason, next="It is tried again by itself.")
        return move("fail", reason, data=data, messages=told, again_s=policy.retry_after_s[failures - 1])
    data = replace(data, failures=max(failures, len(policy.retry_after_s) + 1))
    told = news(record, "failed", reason=reason, next="Please check where the money should go.")
    return move("fail", reason, data=data, messages=(*told, review_needed(record, ())), again_s=WATCH_S)


def _retry_if_due(policy: Policy, record: PayoutRecord, now: Millis) -> Choice:
    failures = record.data.failures
    if failures > len(policy.retry_after_s):
        return wait()
    remaining_s = policy.retry_after_s[failures - 1] - (now - record.since) / SECOND
    if remaining_s > 0:
        return wait(remaining_s)
    return move("retry", f"retry {failures} of {len(policy.retry_after_s)}", data=_next_attempt(record))


def _released(policy: Policy, record: PayoutRecord, fact: f.Released, now: Millis) -> Choice:
    if not fact.proven:
        raise BadInput(f"{record.id} is not proven unpaid: the money cannot be given back yet.")
    return _given_back(policy, record, "release", f"{fact.by}: {fact.reason}", now)


def _given_back(policy: Policy, record: PayoutRecord, trigger: str, why: str, now: Millis) -> Choice:
    """Give the money back; where anything was ever sent, keep an eye on it."""
    sent = any(attempt.may_have_left for attempt in record.data.attempts)
    data = replace(record.data, reason=why, watch_until=now + policy.watch_ms if sent else 0)
    return move(
        trigger, why, data=data, messages=news(record, "cancelled", reason=why), again_s=WATCH_S if sent else NEVER_S
    )


def _corrected(record: PayoutRecord, fact: f.Corrected) -> Choice:
    data = replace(
        record.data,
        sealed=fact.sealed,
        shown=fact.shown,
        fingerprint=fact.fingerprint,
        approvals=(),
        requested_by=fact.by,
    )
    return keep(f"{fact.by} names another destination: {fact.shown}", data=data, messages=(review_needed(record, ()),))


def _correction_approved(record: PayoutRecord, fact: f.Approved, now: Millis) -> Choice:
    data = replace(record.data, approvals=(*_valid_approvals(record, fact), Approval(fact.by, now, fact.fingerprint)))
    missing = data.approvals_needed - len(data.approvals)
    if missing > 0:
        return keep(f"{fact.by} said yes; {missing} more must", data=data)
    return move("retry", f"{fact.by} said yes to the destination", data=_next_attempt(replace(record, data=data)))
