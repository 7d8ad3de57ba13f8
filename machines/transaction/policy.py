"""What an operator may choose for a lane."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from machines.core.chain import ChainHead
from machines.transaction.caps import Cap
from machines.transaction.fees import FeePolicy

NOTHING = -1
"""A block below all others."""


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """How a lane sends, and what it takes for proof."""

    fees: FeePolicy = field(default_factory=FeePolicy)
    depth: int = 12
    """In how many blocks, its own included, a transaction must be buried to count."""
    finalized: bool = False
    """Whether only the chain's own finality counts; a chain without it never settles anything then."""
    in_flight: int = 64
    """Transactions that may wait to be mined at a time."""
    at_once: int = 100
    """Transactions signed in one look."""
    bump_after_s: float = 90.0
    rebroadcast_s: float = 30.0
    batch_size: int = 100
    """Payments in one transaction at most."""
    batch_from: int = 3
    """Fewer are cheaper one by one."""
    batch_wait_s: float = 0.0
    """How long payments wait for company."""
    watch_blocks: int = 256
    """For how many blocks a transaction that counts is still looked at: even a chain that is sure can be wrong."""
    gas_limit: int | None = None
    """For plain payments; None asks the chain."""
    caps: Mapping[str, Cap] = field(default_factory=dict)
    """How much may be paid, by `ETHER` or the address of a token."""
    fee_cap: Cap | None = None
    """How much may be offered for gas."""

    def settled_up_to(self, head: ChainHead) -> int:
        """Give the newest block whose successes count."""
        if self.finalized:
            return -1 if head.finalized is None else head.finalized
        return head.number - self.depth + 1

    def proven_up_to(self, head: ChainHead) -> int:
        """Give the newest block that proves that a nonce went elsewhere, or that a transaction failed.

        What follows from such proof is another payment, so it takes finality where the chain has it.
        """
        buried = head.number - self.depth + 1
        if head.finalized is None:
            return NOTHING if self.finalized else buried
        return min(buried, head.finalized)

    def forgotten_below(self, head: ChainHead) -> int:
        """Give the newest block that need not be watched any more."""
        unwatched = head.number - self.watch_blocks
        return unwatched if head.finalized is None else min(unwatched, head.finalized)
