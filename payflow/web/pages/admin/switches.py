"""What can be paused, and whether it is."""

from dataclasses import dataclass

from payflow.store.pauses import Pause


@dataclass(frozen=True, slots=True)
class Switch:
    """One thing that can be paused."""

    scope: str
    called: str
    stops: str
    pause: Pause | None
    wallet: str = ""
    """What the rail's wallets hold; empty where it has none."""
    health: str = ""
    """How the rail answered; empty for what is no rail."""
    well: bool = True
    stopped: bool = False
    """Whether it sends nothing though nobody paused it."""
