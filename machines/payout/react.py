"""What a fact means to a payout. Pure: a record, a fact and the time give a decision."""

import zlib
from dataclasses import replace
from functools import partial

from machines.core.clock import HOUR, SECOND, Millis
from machines.core.decision import Decision, Message, contradiction, keep, move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, LostSight, Nothing, Override, Proof, Refused, override
from machines.core.lifecycle import Position
from machines.core.machine import Machine, Prove
from machines.core.ports import Act, Cause, Evidence
from machines.core.record import Sending
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import Approval, Attempt, PayoutData, PayoutRecord, Wish, same_person
from machines.payout.messages import alarm, boarded, news, review_needed
from machines.payout.policy import PayoutPolicy
from machines.payout.rediscovery import rediscovered
from machines.payout.review import approved, assessed, corrected, correction_approved, correction_rejected

Choice = Decision[PayoutData]

NEVER_S = -1.0
WATCH_S = 6 * 3600.0
LONGEST_WATCH_S = 7 * 86_400.0
FOLLOW_S = 30.0
LONGEST_FOLLOW_S = 600.0
DEFERRED_S = 300.0
FIRST_LOOK_S = 5.0
LOST_ALARM = 5
NO_REASON = "the rail gave no reason"
SENT_BACK = "the bank sent the money back"
NO_ATTEMPT = Attempt("", "")

NEXT = {
    Cause.DESTINATION: "Please check where the money should go, and name another account if this one is wrong.",
    Cause.LIMIT: "A person looks into it; you need not do anything.",
    Cause.WALLET: "A person looks into it; you need not do anything.",
    Cause.UNKNOWN: "A person looks into it; please check meanwhile that your account can receive money.",
}
"""What a provider may do about a failure."""


def payout(
    policy: PayoutPolicy, acts: dict[str, Act[PayoutData]], prove: Prove[PayoutData] | None = None
) -> Machine[PayoutData]:
    """Make the machine."""
    return Machine(
        lifecycle=s.LIFECYCLE,
        data=PayoutData,
        react=partial(react, policy),
        acts=acts,
        prove=prove,
        retried=f.Retried,
        open_until=partial(open_until, policy),
    )


def open_until(policy: PayoutPolicy, record: PayoutRecord) -> Millis:
    """Say until when the rail may still change what became of it."""
    may_return_ms = policy.returns_ms.get(record.data.rail, 0) if record.data.attempts else 0
    return Millis(record.since + max(may_return_ms, policy.watch_ms if record.data.attempts else 0))


def react(policy: PayoutPolicy, record: PayoutRecord, fact: Fact, now: Millis) -> Choice:
    """Decide, with what a send that nobody finished means; and tell of a wish that waits too long."""
    current = record.data.current
    lost = record.sending is Sending.LOST and current is not None and not (current.sent or current.failed)
    if lost:
        record = replace(record, data=record.data.with_current(sent=True, unknown=True))
    decision = _decided(policy, record, fact, now)
    if lost and decision.recorded and decision.data is None:
        decision = decision.but(data=record.data)
    return _told_of_wish(policy, record, fact, decision, now)


def _decided(policy: PayoutPolicy, record: PayoutRecord, fact: Fact, now: Millis) -> Choice:
    """One case a line, the reasons below."""
    match record.state, fact:
        case _, Override():
            return _overridden(record, fact, now)
        # ── the money's own story: what a rail proves, in whatever state it surfaces ──
        case ((s.APPROVED | s.PROCESSING | s.UNCONFIRMED | s.FAILED), f.Paid()):
            return _paid(record, fact)
        case ((s.CANCELLED | s.REVERSED | s.REJECTED), f.Paid()):
            return _paid_after_all(record, fact)
        case ((s.COMPLETED | s.CONTRADICTED), f.Paid()):
            return _paid_already(policy, record, fact, now)
        case s.REQUESTED, f.Paid():
            return _paid_unapproved(record, fact)
        case ((s.PROCESSING | s.UNCONFIRMED), f.NotPaid(reference)) if _is_current(record, reference):
            return _not_paid(policy, record, fact, now)
        case s.PROCESSING, f.TurnedAway(reference, reason) if _is_current(record, reference):
            return _turned_away(policy, record, reason, now)
        case ((s.PROCESSING | s.UNCONFIRMED), f.CameBack(reference)) if _is_current(record, reference):
            came_back = f.NotPaid(reference, SENT_BACK, retryable=False, cause=Cause.DESTINATION)
            return _not_paid(policy, record, came_back, now)
        case _, f.NotPaid(reference, evidence=proof) if record.data.is_paid(reference) and (proof or _counts(record)):
            return _returned(policy, record, fact, now)
        case _, f.CameBack(reference, evidence) if record.data.is_paid(reference):
            return _came_back(record, reference, evidence)
        case _, f.NotPaid():
            return _failed_already(policy, record, fact, now)
        # ── not wanted any more: given back once the rail proves that nothing is paid ──
        case (
            (s.REQUESTED | s.APPROVED | s.PROCESSING | s.UNCONFIRMED),
            (f.Cancelled(by, reason, proof)),
        ):
            return _wanted_back(record, Wish("cancel", by, reason, now), proof)
        case s.REQUESTED, f.Declined(by, reason, proof):
            return _wanted_back(record, Wish("reject", by, reason, now), proof)
        case s.FAILED, f.Released(by, reason, proven):
            return _wanted_back(record, Wish("cancel", by, reason, now), Proof.NOT_PAID if proven else Proof.NONE)
        case (
            (s.REQUESTED | s.APPROVED | s.PROCESSING | s.FAILED),
            f.AllProvenUnpaid(attempts),
        ) if record.data.wish and attempts == len(record.data.attempts) and _nothing_open(record):
            return _given_back(record, record.data.wish)
        case _, (f.Approved() | f.Retried() | f.Corrected()) if record.data.wish:
            raise BadInput(f"{record.id} is being cancelled: it waits for proof that nothing was paid.")
        # ── asked for ──
        case s.REQUESTED, f.Assessed():
            return assessed(record, fact)
        case s.REQUESTED, f.Unpayable(reason):
            return _wanted_back(record, Wish("reject", "the gateway", reason, now), Proof.NONE)
        case s.REQUESTED, f.Approved():
            return approved(record, fact, now)
        # ── approved, waiting for its batch ──
        case s.APPROVED, f.Waits(until):
            return _waits(record, until, now)
        case s.APPROVED, f.PassedOver():
            return _passed_over(policy, record, now)
        case s.APPROVED, f.Boarded() if record.data.wish and record.data.all_dead:
            return wait(0)
        case s.APPROVED, f.Boarded(batch):
            data = record.data.next_attempt(record.id, now, batch=batch, opens_at=0)
            return move("process", f"batch {batch}", data=data, messages=(boarded(batch),))
        # ── with the rail ──
        case s.PROCESSING, f.Submitted(reference, handle) if _is_current(record, reference):
            return _submitted(record, handle)
        case s.PROCESSING, (f.UnderWay() | f.NotSeen()):
            return _waits_at_rail(policy, record, fact, now)
        case s.PROCESSING, LostSight(reason, attempt) if _is_current(record, attempt or _newest(record)):
            return _lost(record, reason, now)
        case s.PROCESSING, Refused(reason, attempt) if _is_current(record, attempt or _newest(record)):
            return _refused(policy, record, f.NotTaken(_newest(record), reason, proven=not _was_unknown(record)), now)
        case s.PROCESSING, f.NotTaken(reference) if _is_current(record, reference):
            return _refused(policy, record, fact, now)
        case s.UNCONFIRMED, f.UnderWay(reference) if _is_current(record, reference):
            return move("find", "the rail has it", data=replace(record.data, unseen=0, unseen_since=0))
        case s.UNCONFIRMED, f.NotSeen(reference, listed) if _is_current(record, reference):
            return _not_seen(policy, record, now, listed=listed)
        case s.UNCONFIRMED, f.Absent(reference) if _is_current(record, reference):
            return _absent(policy, record, now)
        # ── failed ──
        case s.FAILED, f.AllProvenUnpaid(attempts) if attempts == len(record.data.attempts):
            return _retry_if_due(policy, record, now)
        case s.FAILED, f.Retried(by):
            return _retried(record, by, now)
        case s.FAILED, f.Corrected():
            return corrected(record, fact)
        case s.FAILED, f.Approved() if record.data.correction:
            return correction_approved(record, fact, now)
        case s.FAILED, f.Declined(by, reason) if record.data.correction:
            return correction_rejected(record, by, reason)
        # ── a webhook, or a list, brings names ──
        case _, f.Named(reference, handles):
            return _named(record, reference, handles)
        # ── the store was set back ──
        case _, f.Rediscovered():
            return rediscovered(record, fact)
        # ── over ──
        case (
            (s.COMPLETED | s.REVERSED | s.REJECTED | s.CANCELLED | s.CONTRADICTED),
            (Nothing() | f.UnderWay() | f.NotSeen() | f.Absent() | f.AllProvenUnpaid()),
        ):
            return _watched(policy, record, fact, now)
        case _, f.Submitted(reference, handle) if _is_open(record, reference):
            return _sent_all_the_same(record, reference, handle=handle)
        case _, LostSight(_, reference) if _is_open(record, reference):
            return _sent_all_the_same(record, reference, unknown=True)
        case _, (
            Nothing()
            | f.Waits()
            | f.PassedOver()
            | f.UnderWay()
            | f.NotSeen()
            | f.Absent()
            | f.AllProvenUnpaid()
            | f.NotTaken()
            | f.Submitted()
            | f.CameBack()
            | f.TurnedAway()
            | LostSight()
        ):
            return wait()
        case _, (f.Approved() | f.Declined() | f.Cancelled() | f.Retried() | f.Released() | f.Corrected()):
            raise BadInput(f"{record.id} is {record.state}: it cannot be {type(fact).__name__.lower()} now.")
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")


# ── how often ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _watch_s(record: PayoutRecord, now: Millis) -> float:
    """Watch what is over ever more seldom, and not at the moment at which the rest of its batch is watched."""
    age_s = (now - record.since) / SECOND
    return _spread(record, min(LONGEST_WATCH_S, max(WATCH_S, age_s / 2)))


def _follow_s(record: PayoutRecord, now: Millis) -> float:
    """Follow what is with the rail ever more seldom: its webhook brings the news."""
    age_s = (now - record.since) / SECOND
    return _spread(record, min(LONGEST_FOLLOW_S, max(FOLLOW_S, age_s / 20)))


def _spread(record: PayoutRecord, seconds: float) -> float:
    """Take a quarter off or put it on, the same for the same record."""
    return seconds * (0.75 + zlib.crc32(record.id.encode()) / 2**33)


# ── put there by a person ────────────────────────────────────────────────────────────────────────────────────────────


def _overridden(record: PayoutRecord, fact: Override, now: Millis) -> Choice:
    """Do what the person says, and leave the record fit for the state that it comes into."""
    target = s.LIFECYCLE.state(fact.to)
    data = _with_second(record, fact, now).at_rest(correction=None, wish=None)
    missing = data.approvals_missing()
    decision = override(s.LIFECYCLE, record, fact, approved=not missing)
    if target.cleared and missing:
        raise BadInput(
            f"{record.id} asks for the yes of {missing} more before anything is sent, whatever state it is put into: "
            "reviewers who did not ask for it give it with `payflow payout approve`, or on the dashboard."
        )
    given_back = target.position is Position.AVAILABLE
    if given_back and not data.all_dead and not fact.second.strip() and fact.proof is not Proof.NOT_PAID:
        raise BadInput(
            f"{record.id} may have been sent before it came into {record.state}. "
            "Let a second person confirm, or bring proof from the rail."
        )
    if fact.to == s.REQUESTED:
        data = replace(data, approvals=())
    elif fact.to == s.PROCESSING:
        data = data.next_attempt(record.id, now)
    elif fact.to == s.UNCONFIRMED:
        if data.current is None:
            raise BadInput(f"Nothing of {record.id} was ever sent: there is nothing to look for.")
        data = replace(data, unseen_since=now, unknown_since=now)
    # What the rail proved, it proved of what had left by then.
    return decision.but(data=data, unsent=given_back and fact.proof is Proof.NOT_PAID and record.state == s.PROCESSING)


def _with_second(record: PayoutRecord, fact: Override, now: Millis) -> PayoutData:
    """Count the second person's word as an approval, where they may approve; who asked for the money is nobody here."""
    data, second = record.data, fact.second.strip()
    if not second:
        return data
    if same_person(second, data.requested_by) or same_person(second, record.owner):
        raise BadInput(f"{second} asked for {record.id}, and cannot be the second person: another one must.")
    if not fact.second_approves:
        return data
    return replace(data, approvals=(*data.approvals, Approval(second, now, data.fingerprint)))


# ── approved, and with the rail ──────────────────────────────────────────────────────────────────────────────────────


def _waits(record: PayoutRecord, until: int, now: Millis) -> Choice:
    again_s = max(0.0, (until - now) / SECOND)
    if record.data.opens_at == until:
        return wait(again_s)
    return keep("waits for its batch", data=replace(record.data, opens_at=until), again_s=again_s)


def _submitted(record: PayoutRecord, handle: str) -> Choice:
    data = record.data.with_current(sent=True, handle=handle or (record.data.current or NO_ATTEMPT).handle)
    return keep("handed to the rail", data=data, again_s=FIRST_LOOK_S) if data != record.data else wait()


def _sent_all_the_same(record: PayoutRecord, reference: str, **what: str | bool) -> Choice:
    """Write down what left while somebody moved the record elsewhere."""
    data = record.data.with_attempt(reference, sent=True, **what)
    why = f"{reference} was being sent when the payout came into {record.state}"
    return keep(why, data=data) if data != record.data else wait()


def _is_open(record: PayoutRecord, reference: str) -> bool:
    attempt = record.data.attempt(reference)
    return bool(attempt.reference) and not attempt.failed


def _named(record: PayoutRecord, reference: str, handles: tuple[str, ...]) -> Choice:
    attempt = record.data.attempt(reference)
    named = attempt.named_too(handles)
    if not attempt.reference or named == attempt:
        return wait()
    new = " and ".join(name for name in named.named if name not in attempt.named)
    data = record.data.with_attempt(reference, named=named.named)
    return keep(f"the rail calls {reference} {new}", data=data, again_s=0)


def _waits_at_rail(policy: PayoutPolicy, record: PayoutRecord, fact: f.UnderWay | f.NotSeen, now: Millis) -> Choice:
    """Say what it waits for: the rail itself, or news of an earlier attempt, without which nothing may be sent."""
    data, waiting_for, again_s = record.data, "", None
    if not _is_current(record, fact.reference):
        waiting_for = f"proof that {fact.reference} was not paid"
    elif isinstance(fact, f.UnderWay):
        waiting_for, again_s = fact.waiting_for, fact.again_s
        data = data.with_current(sent=True)
    data = replace(data, waiting_for=waiting_for)
    told: tuple[Message, ...] = ()
    if waiting_for and not data.alarmed and now - record.since >= policy.waits_alarm_ms:
        data = replace(data, alarmed=True)
        told = (alarm(f"waits at {data.rail} for {waiting_for} since {(now - record.since) // HOUR} hours"),)
    again_s = _follow_s(record, now) if again_s is None else again_s
    if data == record.data:
        return wait(again_s)
    why = f"waits for {waiting_for} at the rail" if waiting_for else "the rail works on it"
    return keep(why, data=data, messages=told, again_s=again_s)


def _refused(policy: PayoutPolicy, record: PayoutRecord, fact: f.NotTaken, now: Millis) -> Choice:
    """Fail on a refusal of the only send; a gateway may refuse a repeat before it looks for what it took already."""
    reason = fact.reason or NO_REASON
    if fact.proven:
        data = record.data.with_current(failed=reason, absent=True)
        return _fail(policy, record, data, f.NotPaid("", reason, retryable=False))
    record = replace(record, data=record.data.with_current(refusal=reason))
    return _lost(record, f"refused, which does not prove that nothing was taken: {reason}", now)


def _was_unknown(record: PayoutRecord) -> bool:
    return (record.data.current or NO_ATTEMPT).unknown


def _lost(record: PayoutRecord, reason: str, now: Millis) -> Choice:
    data = record.data.with_current(sent=True, unknown=True)
    data = replace(
        data,
        unseen=0,
        unseen_since=now,
        unknown_since=data.unknown_since or now,
        lost=data.lost + 1,
        absent=0,
    )
    told = (alarm(f"{_newest(record)} was lost sight of {data.lost} times"),) if data.lost == LOST_ALARM else ()
    return move("lose_sight", reason or NO_REASON, data=data, messages=told, again_s=5)


def _not_seen(policy: PayoutPolicy, record: PayoutRecord, now: Millis, *, listed: bool) -> Choice:
    """Look on, send the same reference again, or, where nothing is sent again, wait for what ends it."""
    data = record.data
    if now - data.unseen_since < policy.settle_window_ms:
        return wait(max(1.0, (data.unseen_since + policy.settle_window_ms - now) / SECOND))
    if policy.sends_no_more(record, now) and (listed or data.wish):
        return _waits_for_an_end(policy, record, now)
    # Each send that is lost doubles the time to the next one; a refusal may pass, and is asked for at the slowest pace.
    doubled = policy.settle_window_ms << min(max(data.lost - 1, 0), 20)
    refused = bool((data.current or NO_ATTEMPT).refusal)
    again_ms = policy.repeat_apart_ms if refused else min(doubled, policy.repeat_apart_ms)
    left_s = (data.unseen_since + again_ms - now) / SECOND
    if left_s > 0:
        return _waits_for_an_end(policy, record, now, min(DEFERRED_S, max(1.0, left_s)))
    if data.unseen + 1 < policy.looks_unseen:
        return keep("not found at the rail", data=replace(data, unseen=data.unseen + 1))
    why = f"not found {policy.looks_unseen} times after the settle window: the same reference goes out again"
    return move("find", why, data=replace(data.with_current(sent=False), unseen=0, unseen_since=0))


def _waits_for_an_end(policy: PayoutPolicy, record: PayoutRecord, now: Millis, again_s: float = DEFERRED_S) -> Choice:
    """Look again later; call people, once, where it is unknown for long: two of them may decide it."""
    data = record.data
    if data.alarmed or now - data.unknown_since < policy.unknown_alarm_ms:
        return wait(again_s)
    hours = (now - data.unknown_since) // HOUR
    why = f"since {hours} hours nobody knows whether {data.rail} took {_newest(record)}: two people may decide it"
    told = (alarm(why), review_needed(record, why))
    return keep(why, data=replace(data, alarmed=True), messages=told, again_s=again_s)


def _absent(policy: PayoutPolicy, record: PayoutRecord, now: Millis) -> Choice:
    """Take it for proven unpaid when all that the rail did lacks it twice, hours after the last send."""
    data = replace(record.data, absent=record.data.absent + 1, absent_at=now)
    if data.absent < policy.looks_absent:
        why = f"{_newest(record)} is not in the list of all that {data.rail} did"
        return keep(why, data=data, again_s=policy.absent_apart_ms / SECOND)
    reason = (data.current or NO_ATTEMPT).refusal or f"{data.rail} never took it"
    data = data.with_current(failed=reason, absent=True)
    return _fail(policy, record, data, f.NotPaid("", reason))


def _rail(record: PayoutRecord) -> str:
    return f"rail:{record.data.rail}"


def _is_current(record: PayoutRecord, reference: str) -> bool:
    return record.data.current is not None and record.data.current.reference == reference


def _newest(record: PayoutRecord) -> str:
    """Name the attempt that is meant where the engine could not name one: a look is always at the newest."""
    return (record.data.current or NO_ATTEMPT).reference


# ── paid ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _paid(record: PayoutRecord, fact: f.Paid) -> Choice:
    """Complete, whichever attempt was paid; a person must know when anything else was, or may be under way as well."""
    reference, current = fact.reference, record.data.current
    data = record.data.at_rest(evidence=fact.evidence, paid_by=reference, reason="", correction=None, wish=None)
    data = data.with_payments(reference, fact.names)
    both = f"{_several(fact.names)} were paid: paid twice" if fact.also else ""
    if record.data.wish and record.data.is_paid(reference):
        both = f"{_whose(record.data.wish)}: it cannot be given back, {reference} is still paid"
    if current and current.sent and not current.failed and current.reference != reference:
        both = f"{both or f'{reference} was paid'} while {current.reference} may be under way"
    told = news(replace(record, data=data), "completed", reference=reference)
    return move(
        "complete",
        f"{reference} is proven paid",
        data=data,
        messages=told,
        alarm=both,
        again_s=_spread(record, WATCH_S),
    )


def _paid_after_all(record: PayoutRecord, fact: f.Paid) -> Choice:
    reference = fact.reference
    if record.data.is_paid(reference) and not fact.beyond(record.data.attempt(reference)):
        return wait()  # people who knew of it decided otherwise
    why = f"{_several(fact.names) if fact.also else reference} was paid after the payout was {record.state}"
    data = replace(record.data, evidence=fact.evidence, paid_by=reference).with_payments(reference, fact.names)
    told = news(record, "paid_after_all", reference=reference)
    return move(
        "contradict",
        why,
        data=data,
        messages=told,
        alarm=why,
        stops=_rail(record),
        again_s=_spread(record, WATCH_S),
    )


def _paid_unapproved(record: PayoutRecord, fact: f.Paid) -> Choice:
    """Tell, once, that somebody was paid with nobody's yes; it is not completed without one."""
    told = record.data.attempt(fact.reference).paid_as
    new = tuple(name for name in fact.names if name not in told)
    data = replace(record.data, wish=None).with_attempt(fact.reference, paid_as=(*told, *new))
    if new:
        why = f"{_several(new)} was paid, and nobody has approved the payout"
        return contradiction(why, _stops(record, fact)).but(data=data)
    if record.data.wish:
        why = f"{_whose(record.data.wish)}: it cannot be given back, {fact.reference} is paid"
        return contradiction(why).but(data=data)
    return wait()


def _paid_already(policy: PayoutPolicy, record: PayoutRecord, fact: f.Paid, now: Millis) -> Choice:
    """Tell, once, of each payment besides the payout's own; and keep what is known true when one of them comes back."""
    data, reference = record.data, fact.reference
    attempt = data.attempt(reference)
    if not data.paid_by:
        data = replace(data, evidence=fact.evidence, paid_by=reference).with_payments(reference, fact.names)
        both = f"{_several(fact.names)} were paid: paid twice" if fact.also else ""
        return keep(f"{reference} is proven paid", data=data, alarm=both)
    if not data.is_paid(reference):
        twice = f"{_several(fact.names)} was paid, and so was {data.paid_by}: paid twice"
        return contradiction(twice, _stops(record, fact)).but(data=data.with_payments(reference, fact.names))
    new = fact.beyond(attempt)
    if new:
        known = attempt.paid_as or fact.names[:1]
        twice = f"{_several(new)} was paid, and so was {_several(known)}: paid twice"
        return contradiction(twice).but(data=data.with_payments(reference, (*known, *new)))
    gone = fact.gone(attempt)
    return _one_came_back(policy, record, fact, gone, now) if gone else _watched(policy, record, fact, now)


def _one_came_back(
    policy: PayoutPolicy, record: PayoutRecord, fact: f.Paid, gone: tuple[str, ...], now: Millis
) -> Choice:
    """Take one of several payments of an attempt for returned, where the rail still says so a while later."""
    data, names = record.data, _several(gone)
    if data.return_of != names:
        why = f"{names} was paid, and is shown as not paid"
        again_s = policy.return_after_ms / SECOND
        return keep(why, data=replace(data, return_of=names, return_since=now), again_s=again_s)
    remaining_s = (data.return_since + policy.return_after_ms - now) / SECOND
    if remaining_s > 0:
        return wait(remaining_s)
    left = tuple(name for name in data.attempt(fact.reference).paid_as if name not in gone)
    data = replace(data.with_payments(fact.reference, left), return_of="", return_since=0)
    if fact.reference == data.paid_by:
        data = replace(data, evidence=fact.evidence)
    return keep(f"{names} came back; {_several(left)} is still paid", data=data)


def _stops(record: PayoutRecord, fact: f.Paid) -> str:
    """Close the rail where its word was not true; what was repeated in its dashboard concerns this payout alone."""
    attempt = record.data.attempt(fact.reference)
    return "" if fact.repeated and attempt.failed and not attempt.refused else _rail(record)


def _several(names: tuple[str, ...]) -> str:
    return " and ".join(names)


def _returned(policy: PayoutPolicy, record: PayoutRecord, fact: f.NotPaid, now: Millis) -> Choice:
    """Take a failure after a proven success for money that came back, where the rail still says so a while later.

    Some gateways have no word for a return and show the transfer as failed, with what proves it.
    """
    data = record.data
    if fact.evidence is None and data.return_of == fact.reference:
        return _watched(policy, record, fact, now)
    if fact.evidence is None:
        data = replace(data, return_of=fact.reference, return_since=now)
        why = f"{fact.reference} was paid, now the rail says it was not: {fact.reason}"
        return contradiction(why, _rail(record)).but(data=data)
    if data.return_of != fact.reference:
        data = replace(data, return_of=fact.reference, return_since=now)
        why = f"{fact.reference} was paid, and is shown as failed: {fact.reason}"
        return keep(why, data=data, messages=(alarm(why),), again_s=policy.return_after_ms / SECOND)
    remaining_s = (data.return_since + policy.return_after_ms - now) / SECOND
    return wait(remaining_s) if remaining_s > 0 else _came_back(record, fact.reference, fact.evidence)


def _came_back(record: PayoutRecord, reference: str, evidence: Evidence) -> Choice:
    """Reverse, unless another attempt was paid as well: then the payout is still paid, and no longer twice."""
    data = record.data
    own = (reference, *data.attempt(reference).paid_as)
    left = tuple(one for one in (data.paid_by, *data.also_paid) if one and one not in own)
    data = data.with_attempt(reference, failed=SENT_BACK, paid_as=())
    if left:
        first, *others = left
        return keep(
            f"{reference} came back; {first} is still paid", data=replace(data, paid_by=first, also_paid=tuple(others))
        )
    data = replace(data, evidence=evidence, paid_by="", also_paid=(), reason=SENT_BACK)
    if not _counts(record):  # people had put it elsewhere
        return keep(f"{reference}: {SENT_BACK}", data=data, again_s=0 if data.wish else None)
    told = news(record, "reversed", reference=reference)
    return move("reverse", f"{reference}: {SENT_BACK}", data=data, messages=told, again_s=_spread(record, WATCH_S))


def _counts(record: PayoutRecord) -> bool:
    """Whether the books count it as paid."""
    return s.LIFECYCLE.state(record.state).position is Position.PAID


def _watched(policy: PayoutPolicy, record: PayoutRecord, fact: Fact, now: Millis) -> Choice:
    watched = now < open_until(policy, record)
    again_s = _watch_s(record, now) if watched else NEVER_S
    if record.data.return_of and isinstance(fact, Nothing):
        data = replace(record.data, return_of="", return_since=0)
        return keep(f"{record.data.return_of} is shown as paid again", data=data, again_s=again_s)
    return wait(again_s)


def _failed_already(policy: PayoutPolicy, record: PayoutRecord, fact: f.NotPaid, now: Millis) -> Choice:
    """Write it down; the watch of what is over must have an end, although the rail says the same at every look."""
    said = noted(f"{fact.reference} failed, which changes nothing in {record.state}: {fact.reason}")
    over = s.LIFECYCLE.state(record.state).final
    return said.but(again_s=_watched(policy, record, fact, now).again_s) if over else said


# ── not paid ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _not_paid(policy: PayoutPolicy, record: PayoutRecord, fact: f.NotPaid, now: Millis) -> Choice:
    fact = replace(fact, reason=fact.reason or NO_REASON)
    data = record.data.with_current(sent=True, failed=fact.reason)
    if fact.cause is not Cause.WALLET or data.wish:
        return _fail(policy, record, data, fact)
    return _deferred(policy, replace(record, data=data), fact.reason, now)


def _turned_away(policy: PayoutPolicy, record: PayoutRecord, reason: str, now: Millis) -> Choice:
    """Hold it, unless the attempt may have arrived before: an answer to a repeat proves nothing about that."""
    current = record.data.current or NO_ATTEMPT
    if current.unknown or current.sent:
        record = replace(record, data=record.data.with_current(refusal=reason))
        return _lost(record, f"a repeat was refused, which proves nothing of the send before it: {reason}", now)
    reason = reason or NO_REASON
    return _deferred(policy, replace(record, data=record.data.with_current(failed=reason)), reason, now)


def _deferred(policy: PayoutPolicy, record: PayoutRecord, reason: str, now: Millis) -> Choice:
    """Put it back among the approved: it can be cancelled there, the others go on, and it counts as no failure."""
    data = record.data
    # However long it cannot be paid, the number of attempts must not run away.
    again_s = _spread(record, min(WATCH_S, DEFERRED_S * 2 ** min(len(data.attempts) - 1, 10)))
    opens_at = now + int(again_s * SECOND)
    data = data.at_rest(opens_at=opens_at, reason=reason, deferred_since=data.deferred_since or now)
    data, told = _held_for_long(policy, record, data, now)
    again_s = 0 if data.wish else again_s
    return move("defer", f"{data.rail} does not pay it now: {reason}", data=data, messages=told, again_s=again_s)


def _passed_over(policy: PayoutPolicy, record: PayoutRecord, now: Millis) -> Choice:
    data, told = _held_for_long(policy, record, record.data, now)
    if not told:
        return wait(DEFERRED_S)
    return keep("passed over for long", data=data, messages=told, again_s=DEFERRED_S)


def _held_for_long(
    policy: PayoutPolicy, record: PayoutRecord, data: PayoutData, now: Millis
) -> tuple[PayoutData, tuple[Message, ...]]:
    """Tell people, once, of a payout that the rail has not paid for long although it pays others."""
    if data.deferred_told or now - data.deferred_since < policy.passed_over_ms:
        return data, ()
    hours = (now - data.deferred_since) // HOUR
    why = f"passed over at {data.rail} for {hours} hours: {data.reason}"
    return replace(data, deferred_told=True), (alarm(why), review_needed(record, why))


def _fail(policy: PayoutPolicy, record: PayoutRecord, data: PayoutData, fact: f.NotPaid) -> Choice:
    failures = data.failures + 1
    data = data.at_rest(failures=failures, reason=fact.reason)
    if data.wish:
        return move("fail", fact.reason, data=data, again_s=0)
    if fact.retryable and failures <= len(policy.retry_after_s):
        told = news(record, "failed", reason=fact.reason, next="It is tried again by itself; you need not do anything.")
        return move("fail", fact.reason, data=data, messages=told, again_s=policy.retry_after_s[failures - 1])
    data = replace(data, failures=max(failures, len(policy.retry_after_s) + 1))
    told = news(record, "failed", reason=fact.reason, next=NEXT[fact.cause])
    messages = (*told, review_needed(record, f"failed, and is not tried again by itself: {fact.reason}"))
    return move("fail", fact.reason, data=data, messages=messages, again_s=_spread(record, WATCH_S))


def _retry_if_due(policy: PayoutPolicy, record: PayoutRecord, now: Millis) -> Choice:
    failures = record.data.failures
    if record.data.correction or not 1 <= failures <= len(policy.retry_after_s):
        return wait(_watch_s(record, now))
    remaining_s = policy.retry_after_s[failures - 1] - (now - record.since) / SECOND
    if remaining_s > 0:
        return wait(remaining_s)
    return move(
        "retry", f"retry {failures} of {len(policy.retry_after_s)}", data=record.data.next_attempt(record.id, now)
    )


def _retried(record: PayoutRecord, by: str, now: Millis) -> Choice:
    if record.data.correction:
        raise BadInput(f"Another destination of {record.id} waits for reviewers: approve or reject it first.")
    return move("retry", f"{by} says once more", data=record.data.next_attempt(record.id, now))


# ── not wanted any more ──────────────────────────────────────────────────────────────────────────────────────────────


def _wanted_back(record: PayoutRecord, wish: Wish, proof: Proof) -> Choice:
    """Give the money back, or take the wish: till the rail proves that nothing is paid, nothing more is sent."""
    data = record.data
    proven = not data.attempts or (_nothing_open(record) and proof is Proof.NOT_PAID)
    if proven and record.state != s.UNCONFIRMED:
        return _given_back(record, wish)
    if data.wish:
        return wait()
    data = replace(data, wish=wish, correction=None, approvals=(), alarmed=False)
    return keep(f"{_whose(wish)}: cancelling, waits for proof that nothing was paid", data=data, again_s=0)


def _nothing_open(record: PayoutRecord) -> bool:
    """Tell whether every attempt is over, but for a newest one that was never begun."""
    data, current = record.data, record.data.current
    unasked = current is not None and current.never_begun and record.sending is Sending.NO
    return data.all_dead or (unasked and all(one.failed for one in data.attempts[:-1]))


def _given_back(record: PayoutRecord, wish: Wish) -> Choice:
    """Give the money back; where anything was ever attempted, keep an eye on it."""
    rejected = wish.trigger == "reject" and record.state == s.REQUESTED
    trigger = "release" if record.state == s.FAILED else "reject" if rejected else "cancel"
    told = news(record, "rejected" if rejected else "cancelled", reason=wish.reason)
    data = record.data.at_rest(reason=wish.reason, correction=None, wish=None)
    return move(
        trigger,
        _whose(wish),
        data=data,
        messages=told,
        again_s=_spread(record, WATCH_S) if data.attempts else NEVER_S,
        unsent=record.state == s.PROCESSING,
    )


def _whose(wish: Wish) -> str:
    return f"{wish.by}: {wish.reason}" if wish.reason else wish.by


def _told_of_wish(policy: PayoutPolicy, record: PayoutRecord, fact: Fact, decision: Choice, now: Millis) -> Choice:
    """Call people, once, where the rail has proven nothing for too long."""
    data, wish = decision.data or record.data, record.data.wish
    if wish is None or decision.trigger or data.alarmed or isinstance(fact, f.PEOPLE):
        return decision
    if now - wish.at < policy.waits_alarm_ms:
        return decision
    why = f"cancelling since {(now - wish.at) // HOUR} hours: {data.rail} does not prove that nothing was paid"
    told = (*decision.messages, alarm(why), review_needed(record, why))
    return decision.but(recorded=True, why=decision.why or why, data=replace(data, alarmed=True), messages=told)
