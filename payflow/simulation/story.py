"""What happened in a run, for whoever wants to read it."""

from operator import itemgetter

from machines.core.clock import SECOND, FixedClock


class Story:
    """Only ever grows."""

    def __init__(self, clock: FixedClock) -> None:
        self._clock = clock
        self.began = clock.now()
        self.events: list[tuple[int, str, str]] = []
        """When, who, and what."""

    def tell(self, who: str, what: str) -> None:
        """Add what happens now."""
        self.events.append((self._clock.at, who, what))

    def lines(self) -> list[str]:
        """Write it down, in order of time."""
        ordered = sorted(self.events, key=itemgetter(0))
        return [f"{since(self.began, at):>14}  {who:<12} {what}" for at, who, what in ordered]


def since(began: int, at: int) -> str:
    """Write a time as hours, minutes and seconds since the beginning."""
    seconds = (at - began) / SECOND
    return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02}:{seconds % 60:06.3f}"
