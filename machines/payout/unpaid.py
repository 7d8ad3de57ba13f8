"""What it means that an attempt is proven unpaid: tried again, held, or given back to whoever wants it back."""

from dataclasses import replace

from machines.core.clock import HOUR, SECOND, Millis
from machines.core.decision import NEVER_S, Message, alarm, keep, move, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, Proof
from machines.core.ports import Cause
from machines.core.record import Sending
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import Choice, PayoutData, PayoutRecord, Wish, news, review_needed
from machines.payout.policy import WATCH_S, PayoutPolicy, spread, watch_s
from machines.payout.reasons import NO_ACCOUNT, plain

DEFERRED_S = 300.0
GATEWAY = "the gateway"
"""Who refuses what it can never pay."""
NO_REASON = "the rail gave no reason"
NOT_PAID = "the rail proves that it was not paid"


def not_paid(policy: PayoutPolicy, record: PayoutRecord, fact: f.NotPaid, now: Millis) -> Choice:
    fact = replace(fact, reason=fact.reason or NO_REASON)
    data = record.data.with_current(sent=True, failed=fact.reason)
    if fact.cause is not Cause.WALLET or data.wish:
        return fail(policy, record, data, fact)
    return deferred(policy, replace(record, data=data), fact.reason, now)


def deferred(policy: PayoutPolicy, record: PayoutRecord, reason: str, now: Millis) -> Choice:
    """Put it back among the approved: it can be cancelled there, the others go on, and it counts as no failure."""
    data = record.data
    # However long it cannot be paid, the number of attempts must not run away.
    again_s = spread(record, min(WATCH_S, DEFERRED_S * 2 ** min(len(data.attempts) - 1, 10)))
    data = data.at_rest(opens_at=now + int(again_s * SECOND), reason=reason, deferred_since=data.deferred_since or now)
    data, messages = _held_for_long(policy, record, data, now)
    again_s = 0 if data.wish else again_s
    return move("defer", f"{data.rail} does not pay it now: {reason}", data=data, messages=messages, again_s=again_s)


def passed_over(policy: PayoutPolicy, record: PayoutRecord, now: Millis) -> Choice:
    data, messages = _held_for_long(policy, record, record.data, now)
    if not messages:
        return wait(DEFERRED_S)
    return keep("passed over for long", data=data, messages=messages, again_s=DEFERRED_S)


def _held_for_long(
    policy: PayoutPolicy, record: PayoutRecord, data: PayoutData, now: Millis
) -> tuple[PayoutData, tuple[Message, ...]]:
    """Tell people, once, of a payout that the rail has not paid for long although it pays others."""
    if data.deferred_told or now - data.deferred_since < policy.passed_over_ms:
        return data, ()
    hours = (now - data.deferred_since) // HOUR
    why = f"passed over at {data.rail} for {hours} hours: {data.reason}"
    return replace(data, deferred_told=True), (alarm(why), review_needed(record, why))


def fail(policy: PayoutPolicy, record: PayoutRecord, data: PayoutData, fact: f.NotPaid) -> Choice:
    """Try it again by itself as often as that may help; then tell people, and the provider why, once for each cause."""
    failures = data.failures + 1
    data = data.at_rest(failures=failures, reason=fact.reason, cause=fact.cause.value)
    if data.wish:
        return move("fail", fact.reason, data=data, again_s=0)
    if fact.retryable and failures <= len(policy.retry_after_s):
        return move("fail", fact.reason, data=data, again_s=policy.retry_after_s[failures - 1])
    messages: tuple[Message, ...] = ()
    if data.cause_announced != data.cause:
        messages = failed_news(record, data.cause)
    data = replace(data, failures=max(failures, len(policy.retry_after_s) + 1), cause_announced=data.cause)
    messages = (*messages, review_needed(record, f"failed, and is not tried again by itself: {fact.reason}"))
    return move("fail", fact.reason, data=data, messages=messages, again_s=spread(record, WATCH_S))


def failed_news(record: PayoutRecord, cause: str) -> tuple[Message, ...]:
    said = plain(cause)
    return news(record, "failed", reason=said.text, reason_code=said.code, next=said.next)


def all_proven_unpaid(policy: PayoutPolicy, record: PayoutRecord, now: Millis) -> Choice:
    """Write down which attempts are over; then give the money back to whoever wants it, or try again."""
    data = record.data
    # While it is PROCESSING the newest one may be sent at any moment: what was learned is of those before it.
    asked = data.attempts if record.state == s.FAILED else data.attempts[:-1]
    # What people know to be paid, and put back all the same, is as expected, and not over.
    over = [one.reference for one in asked if not (one.failed or one.never_begun or data.is_paid(one.reference))]
    if over:
        for reference in over:
            data = data.with_attempt(reference, sent=True, failed=NOT_PAID)
        return keep(f"{' and '.join(over)}: {NOT_PAID}", data=data, again_s=0)
    if data.wish and nothing_open(record):
        # What left right before the wish shows by then: the mark that says whether anything was begun is not signed.
        remaining_ms = data.wish.at + policy.settle_window_ms - now if record.state == s.PROCESSING else 0
        return given_back(record, data.wish) if remaining_ms <= 0 else wait(remaining_ms / SECOND)
    return retry_if_due(policy, record, now) if record.state == s.FAILED else wait()


def retry_if_due(policy: PayoutPolicy, record: PayoutRecord, now: Millis) -> Choice:
    failures = record.data.failures
    if record.data.correction or not 1 <= failures <= len(policy.retry_after_s):
        return wait(watch_s(record, now))
    remaining_s = policy.retry_after_s[failures - 1] - (now - record.since) / SECOND
    if remaining_s > 0:
        return wait(remaining_s)
    return move(
        "retry", f"retry {failures} of {len(policy.retry_after_s)}", data=record.data.next_attempt(record.id, now)
    )


def retried(record: PayoutRecord, by: str, now: Millis) -> Choice:
    if record.data.correction:
        raise BadInput(f"Another destination of {record.id} waits for reviewers: approve or reject it first.")
    if record.data.waits_for_rules:
        raise BadInput(f"{record.id} is being assessed again: try again in a moment.")
    return move("retry", f"{by} says once more", data=record.data.next_attempt(record.id, now))


# ── not wanted any more ──────────────────────────────────────────────────────────────────────────────────────────────


def wanted_back(record: PayoutRecord, wish: Wish, proof: Proof) -> Choice:
    """Give the money back, or take the wish: till the rail proves that nothing is paid, nothing more is sent."""
    data = record.data
    proven = not data.attempts or (nothing_open(record) and proof is Proof.NOT_PAID)
    if proven and record.state not in (s.PROCESSING, s.UNCONFIRMED):
        return given_back(record, wish)
    if data.wish:
        return wait()
    return keep(
        f"{wish.said}: cancelling, waits for proof that nothing was paid",
        data=replace(data, wish=wish, correction=None, approvals=(), alarmed=False),
        again_s=0,
    )


def nothing_open(record: PayoutRecord) -> bool:
    """Tell whether every attempt is over, but for a newest one that was never begun."""
    data, current = record.data, record.data.current
    unasked = current is not None and current.never_begun and record.sending is Sending.NO
    return data.all_dead or (unasked and all(one.failed for one in data.attempts[:-1]))


def given_back(record: PayoutRecord, wish: Wish) -> Choice:
    """Give the money back; where anything was ever attempted, keep an eye on it."""
    rejected = wish.trigger == "reject" and record.state == s.REQUESTED
    trigger = "release" if record.state == s.FAILED else "reject" if rejected else "cancel"
    cause = NO_ACCOUNT if wish.by == GATEWAY else ""
    data = record.data.at_rest(reason=wish.reason, cause=cause, correction=None, wish=None)
    reason, code = (plain(cause).text, plain(cause).code) if cause else (wish.reason, "")
    # What was about to leave may have taken a part of what may leave today, which a look gives back.
    again_s = spread(record, WATCH_S) if data.attempts else 0 if record.state == s.APPROVED else NEVER_S
    return move(
        trigger,
        wish.said,
        data=data,
        messages=news(record, "rejected" if rejected else "cancelled", reason=reason, reason_code=code),
        again_s=again_s,
        unsent=record.state == s.PROCESSING,
    )


def answer_wish(policy: PayoutPolicy, record: PayoutRecord, fact: Fact, decision: Choice, now: Millis) -> Choice:
    """Call people, once, where the rail has proven nothing for too long."""
    data, wish = decision.data or record.data, record.data.wish
    if wish is None or decision.trigger or data.alarmed or isinstance(fact, f.PEOPLE):
        return decision
    if now - wish.at < policy.waits_alarm_ms:
        return decision
    why = f"cancelling since {(now - wish.at) // HOUR} hours: {data.rail} does not prove that nothing was paid"
    messages = (*decision.messages, alarm(why), review_needed(record, why))
    return decision.but(recorded=True, why=decision.why or why, data=replace(data, alarmed=True), messages=messages)
