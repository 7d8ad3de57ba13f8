"""What an operator may set about payouts. `react` is pure for a given policy."""

from dataclasses import dataclass

from machines.core.clock import DAY, HOUR, MINUTE


@dataclass(frozen=True, slots=True)
class Policy:
    """How payouts are treated."""

    retry_after_s: tuple[float, ...] = (600, 3_600, 21_600)
    """How long to wait before each retry that happens by itself; as many retries as there are waits."""
    settle_window_ms: int = 2 * MINUTE
    """How long a rail may take to show what it accepted. Only then does not finding it mean anything."""
    looks_unseen: int = 2
    """How often it must not be found, after the window, before the same reference is sent again."""
    watch_ms: int = 7 * DAY
    """How long a finished payout is still looked at."""
    waits_alarm_ms: int = 2 * HOUR
    """How long it may wait for somebody at the rail, such as for an approval, before a person is told."""
    passed_over_ms: int = 2 * HOUR
    """How long a payout may be passed over, while others are paid, before people are told."""
