"""What an operator may set about bounties. `react` is pure for a given policy."""

from dataclasses import dataclass

from machines.core.clock import DAY, HOUR, MINUTE


@dataclass(frozen=True, slots=True)
class BountyPolicy:
    """How bounties are treated."""

    threshold: int = 2
    """How many owners of a wallet must agree; the bot is one of them."""
    recovery: str = ""
    """Address of one more owner of every wallet, so that one lost key freezes nothing; empty for none."""
    sweep_ms: int = 6 * HOUR
    """How often the forge is read as a whole, because deliveries get lost."""
    remind_ms: int = 3 * DAY
    """How often a winner without an address is reminded."""
    deadline_ms: int = 30 * DAY
    """After how long without an address a maintainer may name another winner."""
    vanish_ms: int = 30 * MINUTE
    """How long a transaction that no node knows is waited for before the maintainer is asked again."""
    edited_ms: int = MINUTE
    """A pull request that changed so long after its merge may have been edited; the forge does not say what changed."""
    public_ms: int = 7 * DAY
    """How long the comment tells of a payment before it goes on, where nobody is there to be the other hand."""
    fresh_ms: int = 5 * MINUTE
    """How old what was read at the forge may be when money is given back, or paid out once more."""
    most_banners: int = 10
