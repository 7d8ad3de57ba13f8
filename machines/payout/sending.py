"""What is learned of an approved payout on its way to the rail, and of an attempt that is with it."""

from dataclasses import replace

from machines.core.clock import HOUR, SECOND, Millis
from machines.core.decision import Message, alarm, keep, move, wait
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import NO_ATTEMPT, Choice, PayoutRecord, review_needed
from machines.payout.policy import PayoutPolicy, follow_s
from machines.payout.unpaid import DEFERRED_S, NO_REASON, deferred, fail

FIRST_LOOK_S = 5.0
CAPPED_S = 600.0
LOST_ALARM = 5


def waits(record: PayoutRecord, until: int, now: Millis) -> Choice:
    again_s = max(0.0, (until - now) / SECOND)
    if record.data.opens_at == until:
        return wait(again_s)
    return keep("waits for its batch", data=replace(record.data, opens_at=until), again_s=again_s)


def capped(record: PayoutRecord, why: str) -> Choice:
    """Let it wait for the next day, for a higher cap, or for what another one gives back."""
    if record.data.waiting_for == why:
        return wait(CAPPED_S)
    return keep(f"waits: {why}", data=replace(record.data, waiting_for=why), again_s=CAPPED_S)


def submitted(record: PayoutRecord, handle: str) -> Choice:
    data = record.data.with_current(sent=True, handle=handle or (record.data.current or NO_ATTEMPT).handle)
    return keep("handed to the rail", data=data, again_s=FIRST_LOOK_S) if data != record.data else wait()


def sent_all_the_same(record: PayoutRecord, reference: str, **what: str | bool) -> Choice:
    """Write down what left while somebody moved the record elsewhere."""
    data = record.data.with_attempt(reference, sent=True, **what)
    why = f"{reference} was being sent when the payout came into {record.state}"
    return keep(why, data=data) if data != record.data else wait()


def is_open(record: PayoutRecord, reference: str) -> bool:
    attempt = record.data.attempt(reference)
    return bool(attempt.reference) and not attempt.failed


def is_lost(record: PayoutRecord, reference: str) -> bool:
    """Tell whether an attempt is open and not sent any more, so that a list that lacks it proves something."""
    current, paid = record.data.is_current(reference), record.data.is_paid(reference)
    # What people know to be paid is only looked for where they ask whether it was.
    looked_for = {s.PROCESSING: not (current or paid), s.UNCONFIRMED: current, s.FAILED: not paid}
    return is_open(record, reference) and looked_for[record.state]


def named(record: PayoutRecord, fact: f.Named | f.Unnamed, now: Millis) -> Choice:
    """Keep the names that an attempt was given, and forget those that are nobody's: no look would be sure with them."""
    attempt = record.data.attempt(fact.reference)
    if isinstance(fact, f.Named):
        after = attempt.named_too(fact.handles)
        new = " and ".join(name for name in after.named if name not in attempt.named)
        said, at = f"the rail calls {fact.reference} {new}", now
    else:
        after = replace(attempt, named=tuple(name for name in attempt.named if name not in fact.handles))
        said = f"the rail knows nothing of {' and '.join(fact.handles)}, which was told of {fact.reference}"
        at = Millis(attempt.named_at)
    if not attempt.reference or after == attempt:
        return wait()
    data = record.data.with_attempt(fact.reference, named=after.named, named_at=at)
    return keep(said, data=replace(data, absent=0) if isinstance(fact, f.Named) else data, again_s=0)


def waits_at_rail(policy: PayoutPolicy, record: PayoutRecord, fact: f.UnderWay | f.NotSeen, now: Millis) -> Choice:
    """Say what it waits for: the rail itself, or news of an earlier attempt, without which nothing may be sent."""
    data, waiting_for, again_s = record.data, "", None
    if not record.data.is_current(fact.reference):
        waiting_for = f"proof that {fact.reference} was not paid"
    elif isinstance(fact, f.UnderWay):
        waiting_for, again_s = fact.waiting_for, fact.again_s
        data = data.with_current(sent=True)
    data = replace(data, waiting_for=waiting_for, absent=0 if isinstance(fact, f.UnderWay) else data.absent)
    messages: tuple[Message, ...] = ()
    if waiting_for and not data.alarmed and now - record.since >= policy.waits_alarm_ms:
        data = replace(data, alarmed=True)
        messages = (alarm(f"waits at {data.rail} for {waiting_for} since {(now - record.since) // HOUR} hours"),)
    again_s = follow_s(record, now) if again_s is None else again_s
    if data == record.data:
        return wait(again_s)
    why = f"waits for {waiting_for} at the rail" if waiting_for else "the rail works on it"
    return keep(why, data=data, messages=messages, again_s=again_s)


def refused(policy: PayoutPolicy, record: PayoutRecord, fact: f.NotTaken, now: Millis) -> Choice:
    """Fail on a refusal of the only send; a gateway may refuse a repeat before it looks for what it took already."""
    reason = fact.reason or NO_REASON
    if fact.proven:
        data = record.data.with_current(failed=reason, absent=True)
        return fail(policy, record, data, f.NotPaid("", reason, retryable=False))
    record = replace(record, data=record.data.with_current(refusal=reason))
    return lost(record, f"refused, which does not prove that nothing was taken: {reason}", now)


def was_unknown(record: PayoutRecord) -> bool:
    return (record.data.current or NO_ATTEMPT).unknown


def lost(record: PayoutRecord, reason: str, now: Millis) -> Choice:
    data = replace(
        record.data.with_current(sent=True, unknown=True),
        unseen=0,
        unseen_since=now,
        unknown_since=record.data.unknown_since or now,
        lost=record.data.lost + 1,
        absent=0,
    )
    messages = (alarm(f"{record.data.newest} was lost sight of {data.lost} times"),) if data.lost == LOST_ALARM else ()
    return move("lose_sight", reason or NO_REASON, data=data, messages=messages, again_s=5)


def not_seen(policy: PayoutPolicy, record: PayoutRecord, now: Millis, *, listed: bool) -> Choice:
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
    return move(
        "find",
        f"not found {policy.looks_unseen} times after the settle window: the same reference goes out again",
        data=replace(data.with_current(sent=False), unseen=0, unseen_since=0),
    )


def _waits_for_an_end(policy: PayoutPolicy, record: PayoutRecord, now: Millis, again_s: float = DEFERRED_S) -> Choice:
    """Look again later; call people, once, where it is unknown for long: two of them may decide it."""
    data = record.data
    if data.alarmed or now - data.unknown_since < policy.unknown_alarm_ms:
        return wait(again_s)
    hours = (now - data.unknown_since) // HOUR
    why = f"since {hours} hours nobody knows whether {data.rail} took {record.data.newest}: two people may decide it"
    return keep(
        why, data=replace(data, alarmed=True), messages=(alarm(why), review_needed(record, why)), again_s=again_s
    )


def seen_again(record: PayoutRecord, reference: str) -> Choice:
    """Begin anew with the lists: one that lacked an attempt which the rail shows again has proven nothing."""
    return keep(f"the rail shows {reference} again", data=replace(record.data, absent=0))


def absent(policy: PayoutPolicy, record: PayoutRecord, reference: str, now: Millis) -> Choice:
    """Take an attempt for proven unpaid when all that the rail did lacks it twice, hours after its last send."""
    before = record.data.absent if record.data.absent_of == reference else 0
    data = replace(record.data, absent=before + 1, absent_of=reference, absent_at=now)
    if data.absent < policy.looks_absent:
        return keep(
            f"{reference} is not in the list of all that {data.rail} did",
            data=data,
            again_s=policy.absent_apart_ms / SECOND,
        )
    reason = data.attempt(reference).refusal or f"{data.rail} never took it"
    data = replace(data.with_attempt(reference, failed=reason, absent=True), absent=0).without_payments(reference)
    if record.state == s.UNCONFIRMED:
        return fail(policy, record, data, f.NotPaid("", reason))
    return keep(f"{reference}: {reason}", data=data, again_s=0)


def turned_away(policy: PayoutPolicy, record: PayoutRecord, reason: str, now: Millis) -> Choice:
    """Hold it, unless the attempt may have arrived before: an answer to a repeat proves nothing about that."""
    current = record.data.current or NO_ATTEMPT
    if current.unknown or current.sent:
        record = replace(record, data=record.data.with_current(refusal=reason))
        return lost(record, f"a repeat was refused, which proves nothing of the send before it: {reason}", now)
    reason = reason or NO_REASON
    return deferred(policy, replace(record, data=record.data.with_current(failed=reason)), reason, now)
