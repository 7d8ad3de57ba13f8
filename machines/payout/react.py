"""What a fact means to a payout. Pure: a record, a fact and the time give a decision."""

from dataclasses import replace
from functools import partial

from machines.core.clock import Millis
from machines.core.decision import move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, LostSight, Nothing, Override, Proof, Refused
from machines.core.machine import Machine, Prove
from machines.core.ports import Act, Cause
from machines.core.record import Sending
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout import permit, review, sending
from machines.payout.data import Choice, PayoutData, PayoutRecord, Wish, boarded
from machines.payout.paid import (
    SENT_BACK,
    came_back,
    counts,
    failed_already,
    fee_named,
    paid,
    paid_after_all,
    paid_already,
    paid_unapproved,
    returned,
    watched,
)
from machines.payout.policy import PayoutPolicy
from machines.payout.rail_share import rail_share
from machines.payout.rediscovery import rediscovered
from machines.payout.unpaid import all_proven_unpaid, answer_wish, not_paid, passed_over, retried, wanted_back


def payout(
    policy: PayoutPolicy, acts: dict[str, Act[PayoutData]], prove: Prove[PayoutData] | None = None
) -> Machine[PayoutData]:
    return Machine(
        lifecycle=s.LIFECYCLE,
        data=PayoutData,
        react=partial(react, policy),
        acts=acts,
        prove=prove,
        retried=f.Retried,
        open_until=policy.stays_until,
        reseal=PayoutData.resealed,
        adoption=permit.ADOPTION,
        rail_share=rail_share,
    )


def react(policy: PayoutPolicy, record: PayoutRecord, fact: Fact, now: Millis) -> Choice:
    """Decide, with what a send that nobody finished means; and tell of a wish that waits too long."""
    current = record.data.current
    unfinished = record.sending is Sending.LOST and current is not None and not (current.sent or current.failed)
    if unfinished:
        record = replace(record, data=record.data.with_current(sent=True, unknown=True))
    if isinstance(fact, f.Paid):
        record = replace(record, data=record.data.with_charges((fact.evidence, *fact.also)))
    decision = fee_named(record, fact) if isinstance(fact, f.FeeNamed) else _decided(policy, record, fact, now)
    if unfinished and decision.recorded and decision.data is None:
        decision = decision.but(data=record.data)
    return answer_wish(policy, record, fact, decision, now)


def _decided(policy: PayoutPolicy, record: PayoutRecord, fact: Fact, now: Millis) -> Choice:
    """One case a line, the reasons in `sending`, `paid`, `unpaid` and `review`."""
    match record.state, fact:
        case _, Override():
            return review.overridden(record, fact, now)
        # ── the money's own story: what a rail proves, in whatever state it surfaces ──
        case ((s.APPROVED | s.PROCESSING | s.UNCONFIRMED | s.FAILED), f.Paid()):
            return paid(record, fact)
        case ((s.CANCELLED | s.REVERSED | s.REJECTED), f.Paid()):
            return paid_after_all(record, fact)
        case ((s.COMPLETED | s.CONTRADICTED), f.Paid()):
            return paid_already(policy, record, fact, now)
        case s.REQUESTED, f.Paid():
            return paid_unapproved(record, fact)
        case ((s.PROCESSING | s.UNCONFIRMED), f.NotPaid(reference)) if record.data.is_current(reference):
            return not_paid(policy, record, fact, now)
        case s.PROCESSING, f.TurnedAway(reference, reason) if record.data.is_current(reference):
            return sending.turned_away(policy, record, reason, now)
        case ((s.PROCESSING | s.UNCONFIRMED), f.CameBack(reference)) if record.data.is_current(reference):
            back = f.NotPaid(reference, SENT_BACK, retryable=False, cause=Cause.DESTINATION)
            return not_paid(policy, record, back, now)
        case _, f.NotPaid(reference, evidence=proof) if record.data.is_paid(reference) and (proof or counts(record)):
            return returned(policy, record, fact, now)
        case _, f.CameBack(reference, evidence) if record.data.is_paid(reference):
            return came_back(record, reference, evidence)
        case _, f.NotPaid():
            return failed_already(policy, record, fact, now)
        # ── not wanted any more: given back once the rail proves that nothing is paid ──
        case (
            (s.REQUESTED | s.APPROVED | s.PROCESSING | s.UNCONFIRMED),
            (f.Cancelled(by, reason, proof)),
        ):
            return wanted_back(record, Wish("cancel", by, reason, now), proof)
        case s.REQUESTED, f.Declined(by, reason, proof):
            return wanted_back(record, Wish("reject", by, reason, now), proof)
        case s.FAILED, f.Released(by, reason, proven):
            return wanted_back(record, Wish("cancel", by, reason, now), Proof.NOT_PAID if proven else Proof.NONE)
        case (
            (s.REQUESTED | s.APPROVED | s.PROCESSING | s.FAILED),
            f.AllProvenUnpaid(attempts),
        ) if attempts == len(record.data.attempts):
            return all_proven_unpaid(policy, record, now)
        case _, (f.Approved() | f.Retried() | f.Corrected()) if record.data.wish:
            raise BadInput(f"{record.id} is being cancelled: it waits for proof that nothing was paid.")
        # ── asked for ──
        case ((s.REQUESTED | s.FAILED), f.Assessed()):
            return review.assessed(record, fact)
        case ((s.REQUESTED | s.FAILED), f.Unpayable(reason)):
            return review.unpayable(record, reason, now)
        case ((s.REQUESTED | s.FAILED), f.Approved()) if record.state == s.REQUESTED or record.data.correction:
            return review.approved(record, fact, now)
        # ── approved, waiting for its batch ──
        case s.APPROVED, f.Waits(until):
            return sending.waits(record, until, now)
        case s.APPROVED, f.PassedOver():
            return passed_over(policy, record, now)
        case s.APPROVED, f.Capped(why):
            return sending.capped(record, why)
        case s.APPROVED, f.Boarded() if record.data.wish and record.data.all_dead:
            return wait(0)
        case s.APPROVED, f.Boarded(batch):
            return move(
                "process",
                f"batch {batch}",
                data=record.data.next_attempt(record.id, now, batch=batch, opens_at=0),
                messages=(boarded(batch),),
            )
        # ── with the rail ──
        case s.PROCESSING, f.ApprovalsLapsed(reference) if record.data.is_current(reference):
            return review.lapsed(record, fact)
        case s.PROCESSING, f.Submitted(reference, handle) if record.data.is_current(reference):
            return sending.submitted(record, handle)
        case s.PROCESSING, (f.UnderWay() | f.NotSeen()):
            return sending.waits_at_rail(policy, record, fact, now)
        case s.PROCESSING, LostSight(reason, attempt) if record.data.is_current(attempt or record.data.newest):
            return sending.lost(record, reason, now)
        case s.PROCESSING, Refused(reason, attempt) if record.data.is_current(attempt or record.data.newest):
            return sending.refused(
                policy, record, f.NotTaken(record.data.newest, reason, proven=not sending.was_unknown(record)), now
            )
        case s.PROCESSING, f.NotTaken(reference) if record.data.is_current(reference):
            return sending.refused(policy, record, fact, now)
        case s.UNCONFIRMED, f.UnderWay(reference) if record.data.is_current(reference):
            return move("find", "the rail has it", data=replace(record.data, unseen=0, unseen_since=0))
        case s.UNCONFIRMED, f.NotSeen(reference, listed) if record.data.is_current(reference):
            return sending.not_seen(policy, record, now, listed=listed)
        case ((s.PROCESSING | s.UNCONFIRMED | s.FAILED), f.Absent(reference)) if sending.is_lost(record, reference):
            return sending.absent(policy, record, reference, now)
        case s.FAILED, f.UnderWay(reference) if record.data.absent:
            return sending.seen_again(record, reference)
        # ── failed ──
        case s.FAILED, f.Retried(by):
            return retried(record, by, now)
        case s.FAILED, f.Corrected():
            return review.corrected(record, fact)
        case s.FAILED, f.Declined(by, reason) if record.data.correction:
            return review.correction_rejected(record, by, reason)
        # ── a webhook, or a list, brings names ──
        case _, f.Named() | f.Unnamed():
            return sending.named(record, fact, now)
        # ── the store was set back ──
        case _, f.Rediscovered():
            return rediscovered(record, fact)
        # ── over ──
        case (
            (s.COMPLETED | s.REVERSED | s.REJECTED | s.CANCELLED | s.CONTRADICTED),
            (Nothing() | f.UnderWay() | f.NotSeen() | f.Absent() | f.AllProvenUnpaid()),
        ):
            return watched(policy, record, fact, now)
        case _, f.Submitted(reference, handle) if sending.is_open(record, reference):
            return sending.sent_all_the_same(record, reference, handle=handle)
        case _, LostSight(_, reference) if sending.is_open(record, reference):
            return sending.sent_all_the_same(record, reference, unknown=True)
        case _, (
            Nothing()
            | f.Waits()
            | f.PassedOver()
            | f.Capped()
            | f.UnderWay()
            | f.NotSeen()
            | f.Absent()
            | f.AllProvenUnpaid()
            | f.NotTaken()
            | f.Submitted()
            | f.CameBack()
            | f.TurnedAway()
            | f.ApprovalsLapsed()
            | LostSight()
        ):
            return wait()
        case _, (f.Approved() | f.Declined() | f.Cancelled() | f.Retried() | f.Released() | f.Corrected()):
            raise BadInput(f"{record.id} is {record.state}: it cannot be {type(fact).__name__.lower()} now.")
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")
