"""What an operator may set about payouts, and how often one is looked at. `react` is pure for a given policy."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from machines.core.clock import DAY, HOUR, MINUTE, SECOND, Millis
from machines.payout import lifecycle as s
from machines.payout.data import Attempt, PayoutRecord

WATCH_S = 6 * 3600.0
LONGEST_WATCH_S = 7 * 86_400.0
FOLLOW_S = 30.0
LONGEST_FOLLOW_S = 600.0


@dataclass(frozen=True, slots=True)
class PayoutPolicy:
    """How payouts are treated."""

    retry_after_s: tuple[float, ...] = (600, 3_600, 21_600)
    """How long to wait before each retry that happens by itself; as many retries as there are waits."""
    settle_window_ms: int = 2 * MINUTE
    """How long a rail may take to show what it accepted. Only then does not finding it mean anything."""
    looks_unseen: int = 2
    """How often it must not be found, after the window, before the same reference is sent again."""
    repeat_apart_ms: int = HOUR
    """How long at most between two sends of the same reference; the time doubles from the settle window on."""
    absent_after_ms: int = 2 * HOUR
    """How long after its last send an attempt may be proven never taken, by all that the rail did."""
    looks_absent: int = 2
    """How often all that the rail did must lack an attempt."""
    absent_apart_ms: int = HOUR
    """How long between the first and the second look at all that the rail did; both must not have it."""
    unknown_alarm_ms: int = 6 * HOUR
    """How long an outcome may be unknown before nothing is sent again, and people are told."""
    return_after_ms: int = 10 * MINUTE
    """How long a rail must say that a paid transfer failed before that counts as money that came back."""
    watch_ms: int = 7 * DAY
    """How long a finished payout is still looked at."""
    returns_ms: Mapping[str, int] = field(default_factory=dict)
    """For each rail, how long after the end money may still come back from where it was sent. Until then a payout that
    was ever sent is not archived."""
    failures_count_ms: int = 30 * DAY
    """How long after it was asked for a payout that failed counts against its provider."""
    waits_alarm_ms: int = 2 * HOUR
    """How long it may wait for somebody at the rail, such as for an approval, before a person is told."""
    passed_over_ms: int = 2 * HOUR
    """How long a payout may be passed over, while others are paid, before people are told."""

    def may_be_absent(self, record: PayoutRecord, attempt: Attempt, now: Millis) -> bool:
        """Tell whether it is time to look for a lost attempt in all that the rail did: hours after it was last sent."""
        data = record.data
        late = now - last_sent(record, attempt) >= self.absent_after_ms and now - data.absent_at >= self.absent_apart_ms
        return late and (record.state != s.UNCONFIRMED or self.sends_no_more(record, now))

    def sends_no_more(self, record: PayoutRecord, now: Millis) -> bool:
        """Tell whether a lost attempt is not sent again: it was refused, is not wanted, or is unknown for too long."""
        data = record.data
        refused = data.current is not None and bool(data.current.refusal)
        return refused or data.wish is not None or now - data.unknown_since >= self.unknown_alarm_ms

    def open_until(self, record: PayoutRecord) -> Millis:
        """Say until when the rail may still change what became of it."""
        may_return_ms = self.returns_ms.get(record.data.rail, 0) if record.data.attempts else 0
        return Millis(record.since + max(may_return_ms, self.watch_ms if record.data.attempts else 0))

    def stays_until(self, record: PayoutRecord) -> Millis:
        """Say until when it is not archived: as long as that, or as the risk rules ask when it was made."""
        judged_ms = self.failures_count_ms if record.data.failures or record.state == s.REVERSED else DAY
        return max(self.open_until(record), Millis(record.created_at + judged_ms))


def last_sent(record: PayoutRecord, attempt: Attempt) -> int:
    """Tell the latest time at which an attempt can have been sent.

    Only PROCESSING sends, and only the newest attempt; which is found unknown by UNCONFIRMED alone.
    """
    if record.state == s.UNCONFIRMED:
        return record.data.unseen_since
    later = [one.opened_at for one in record.data.attempts[record.data.attempts.index(attempt) + 1 :]]
    return max((record.since, *later))


def watch_s(record: PayoutRecord, now: Millis) -> float:
    """Watch what is over ever more seldom, and not at the moment at which the rest of its batch is watched."""
    age_s = (now - record.since) / SECOND
    return spread(record, min(LONGEST_WATCH_S, max(WATCH_S, age_s / 2)))


def follow_s(record: PayoutRecord, now: Millis) -> float:
    """Follow what is with the rail ever more seldom: its webhook brings the news."""
    age_s = (now - record.since) / SECOND
    return spread(record, min(LONGEST_FOLLOW_S, max(FOLLOW_S, age_s / 20)))


def spread(record: PayoutRecord, seconds: float) -> float:
    """Take a quarter off or put it on, the same for the same record."""
    return seconds * (0.75 + zlib.crc32(record.id.encode()) / 2**33)
