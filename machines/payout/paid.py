"""What it means that an attempt is proven paid, in whatever state that surfaces, and that the money came back."""

from dataclasses import replace

from machines.core.clock import SECOND, Millis
from machines.core.decision import NEVER_S, alarm, contradiction, keep, move, noted, wait
from machines.core.facts import Fact, Nothing
from machines.core.lifecycle import Position
from machines.core.ports import Evidence
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout import reasons
from machines.payout.data import Choice, PayoutRecord, news
from machines.payout.policy import WATCH_S, PayoutPolicy, spread, watch_s

SENT_BACK = "the bank sent the money back"


def fee_named(record: PayoutRecord, fact: f.FeeNamed) -> Choice:
    """Keep what the rail's statement says that a payment cost, so that it is posted, unless that was known."""
    why = f"the rail's statement says that {fact.reference} cost {fact.fee}"
    if record.state not in (s.COMPLETED, s.CONTRADICTED, s.REVERSED):
        return noted(why)
    data = record.data.with_charge(fact.reference, fact.fee)
    return keep(why, data=data) if data != record.data else wait()


def paid(record: PayoutRecord, fact: f.Paid) -> Choice:
    """Complete, whichever attempt was paid; a person must know when anything else was, or may be under way as well."""
    reference, current = fact.reference, record.data.current
    data = record.data.at_rest(
        evidence=fact.evidence, paid_by=reference, reason="", cause="", correction=None, wish=None
    )
    data = data.with_payments(reference, fact.names)
    both = f"{_several(fact.names)} were paid: paid twice" if fact.also else ""
    if record.data.wish and record.data.is_paid(reference):
        both = f"{record.data.wish.said}: it cannot be given back, {reference} is still paid"
    if current and current.sent and not current.failed and current.reference != reference:
        both = f"{both or f'{reference} was paid'} while {current.reference} may be under way"
    return move(
        "complete",
        f"{reference} is proven paid",
        data=data,
        messages=news(replace(record, data=data), "completed", reference=reference),
        alarm=both,
        again_s=spread(record, WATCH_S),
    )


def paid_after_all(record: PayoutRecord, fact: f.Paid) -> Choice:
    reference = fact.reference
    if record.data.is_paid(reference) and not fact.beyond(record.data.attempt(reference)):
        return wait()  # people who knew of it decided otherwise
    why = f"{_several(fact.names) if fact.also else reference} was paid after the payout was {record.state}"
    data = replace(record.data, evidence=fact.evidence, paid_by=reference).with_payments(reference, fact.names)
    return move(
        "contradict",
        why,
        data=data,
        messages=news(record, "paid_after_all", reference=reference),
        alarm=why,
        stops=record.data.scope,
        again_s=spread(record, WATCH_S),
    )


def paid_unapproved(record: PayoutRecord, fact: f.Paid) -> Choice:
    """Tell, once, that somebody was paid with nobody's yes; it is not completed without one."""
    known = record.data.attempt(fact.reference).paid_as
    new = tuple(name for name in fact.names if name not in known)
    data = replace(record.data, wish=None).with_attempt(fact.reference, paid_as=(*known, *new))
    if new:
        why = f"{_several(new)} was paid, and nobody has approved the payout"
        return contradiction(why, _stops(record, fact)).but(data=data)
    if record.data.wish:
        why = f"{record.data.wish.said}: it cannot be given back, {fact.reference} is paid"
        return contradiction(why).but(data=data)
    return wait()


def paid_already(policy: PayoutPolicy, record: PayoutRecord, fact: f.Paid, now: Millis) -> Choice:
    """Tell, once, of each payment besides the payout's own; and keep what is known true when one of them comes back."""
    data, reference = record.data, fact.reference
    attempt = data.attempt(reference)
    if not data.paid_by:
        data = replace(data, evidence=fact.evidence, paid_by=reference).with_payments(reference, fact.names)
        return keep(
            f"{reference} is proven paid",
            data=data,
            alarm=f"{_several(fact.names)} were paid: paid twice" if fact.also else "",
        )
    if not data.is_paid(reference):
        twice = f"{_several(fact.names)} was paid, and so was {data.paid_by}: paid twice"
        return contradiction(twice, _stops(record, fact)).but(data=data.with_payments(reference, fact.names))
    new = fact.beyond(attempt)
    if new:
        known = attempt.paid_as or fact.names[:1]
        twice = f"{_several(new)} was paid, and so was {_several(known)}: paid twice"
        return contradiction(twice).but(data=data.with_payments(reference, (*known, *new)))
    gone = fact.gone(attempt)
    return _one_came_back(policy, record, fact, gone, now) if gone else watched(policy, record, fact, now)


def _one_came_back(
    policy: PayoutPolicy, record: PayoutRecord, fact: f.Paid, gone: tuple[str, ...], now: Millis
) -> Choice:
    """Take one of several payments of an attempt for returned, where the rail still says so a while later."""
    data, names = record.data, _several(gone)
    if data.return_of != names:
        why = f"{names} was paid, and is shown as not paid"
        data = replace(data, return_of=names, return_since=now)
        return keep(why, data=data, again_s=policy.return_after_ms / SECOND)
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
    return "" if fact.repeated and attempt.failed and not attempt.refused else record.data.scope


def _several(names: tuple[str, ...]) -> str:
    return " and ".join(names)


def returned(policy: PayoutPolicy, record: PayoutRecord, fact: f.NotPaid, now: Millis) -> Choice:
    """Take a failure after a proven success for money that came back, where the rail still says so a while later.

    Some gateways have no word for a return and show the transfer as failed, with what proves it.
    """
    data = record.data
    if fact.evidence is None and data.return_of == fact.reference:
        return watched(policy, record, fact, now)
    if fact.evidence is None:
        data = replace(data, return_of=fact.reference, return_since=now)
        why = f"{fact.reference} was paid, now the rail says it was not: {fact.reason}"
        return contradiction(why, record.data.scope).but(data=data)
    if data.return_of != fact.reference:
        data = replace(data, return_of=fact.reference, return_since=now)
        why = f"{fact.reference} was paid, and is shown as failed: {fact.reason}"
        return keep(why, data=data, messages=(alarm(why),), again_s=policy.return_after_ms / SECOND)
    remaining_s = (data.return_since + policy.return_after_ms - now) / SECOND
    return wait(remaining_s) if remaining_s > 0 else came_back(record, fact.reference, fact.evidence)


def came_back(record: PayoutRecord, reference: str, evidence: Evidence) -> Choice:
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
    data = replace(data, evidence=evidence, paid_by="", also_paid=(), reason=SENT_BACK, cause=reasons.SENT_BACK)
    if not counts(record):  # people had put it elsewhere
        return keep(f"{reference}: {SENT_BACK}", data=data, again_s=0 if data.wish else None)
    return move(
        "reverse",
        f"{reference}: {SENT_BACK}",
        data=data,
        messages=news(record, "reversed", reference=reference),
        again_s=spread(record, WATCH_S),
    )


def counts(record: PayoutRecord) -> bool:
    """Whether the books count it as paid."""
    return s.LIFECYCLE.state(record.state).position is Position.PAID


def watched(policy: PayoutPolicy, record: PayoutRecord, fact: Fact, now: Millis) -> Choice:
    again_s = watch_s(record, now) if now < policy.open_until(record) else NEVER_S
    if record.data.return_of and isinstance(fact, Nothing):
        data = replace(record.data, return_of="", return_since=0)
        return keep(f"{record.data.return_of} is shown as paid again", data=data, again_s=again_s)
    return wait(again_s)


def failed_already(policy: PayoutPolicy, record: PayoutRecord, fact: f.NotPaid, now: Millis) -> Choice:
    """Write it down; the watch of what is over must have an end, although the rail says the same at every look."""
    said = noted(f"{fact.reference} failed, which changes nothing in {record.state}: {fact.reason}")
    over = s.LIFECYCLE.state(record.state).final
    return said.but(again_s=watched(policy, record, fact, now).again_s) if over else said
