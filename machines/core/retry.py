"""Back-off is a pure function: how long to wait before the next try."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Full jitter up to a delay that doubles and is capped."""

    base_s: float = 1.0
    cap_s: float = 300.0

    def delay_s(self, tries: int, jitter: float) -> float:
        """Give the wait after this many tries; `jitter` is between 0 and 1 and spreads the tries of many records."""
        ceiling = min(self.cap_s, self.base_s * 2.0 ** min(tries, 30))
        return max(self.base_s / 2, ceiling * jitter)
