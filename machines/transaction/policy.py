"""What an operator may choose for a lane: what it offers for gas, how it raises an offer, what it takes for proof."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from machines.core.chain import ChainHead, GasFee, Market
from machines.transaction.caps import Cap

GWEI = 10**9

ROOM_FOR_BASE_FEE = 2
"""A base fee grows by an eighth a block at most: twice of it stays enough for six full blocks."""


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """How much an operator lets a lane offer."""

    legacy: bool = False
    """Whether to send transactions with one price, as chains without EIP-1559 want them."""
    percentile: int = 60
    """Of the tips of the last blocks: higher is quicker and dearer."""
    tip_floor_wei: int = GWEI // 10
    tip_ceiling_wei: int = 20 * GWEI
    max_fee_ceiling_wei: int = 300 * GWEI
    """No unit of gas ever costs more, whatever the market or a bump would have."""
    gas_price_wei: int | None = None
    """A fixed price for legacy transactions; None asks the nodes."""
    bump_percent: Fraction = Fraction(25, 2)
    """By how much both parts of an offer grow at least, for nodes to let it replace the one before."""


def offered(market: Market, policy: FeePolicy) -> GasFee:
    """Make a first offer, within the ceilings."""
    ceiling = policy.max_fee_ceiling_wei
    if policy.legacy or market.base_fee_wei is None:
        return GasFee(min(_price(market, policy), ceiling))
    tip = min(max(market.tip_wei, policy.tip_floor_wei), policy.tip_ceiling_wei)
    most = min(market.base_fee_wei * ROOM_FOR_BASE_FEE + tip, ceiling)
    return GasFee(most, min(tip, most))


def bumped(previous: Sequence[GasFee], market: Market, policy: FeePolicy) -> GasFee | None:
    """Make an offer that replaces all before, at the market's price or above; None where a ceiling forbids it.

    Nodes compare both parts with those of the one before, so both grow, also where one alone would do.
    """
    if not previous:
        return offered(market, policy)
    now = offered(market, policy)
    most = max(now.max_wei, *(_raised(fee.max_wei, policy) for fee in previous))
    if most > policy.max_fee_ceiling_wei:
        return None
    if all(fee.tip_wei is None for fee in previous):
        return GasFee(most)  # what began with one price goes on with one: the two kinds replace each other badly
    # A legacy transaction counts as one whose tip is its price.
    tips = [fee.max_wei if fee.tip_wei is None else fee.tip_wei for fee in previous]
    tip = max(now.tip_wei or 0, *(_raised(tip, policy) for tip in tips))
    if tip > max(policy.tip_ceiling_wei, policy.tip_floor_wei):
        return None
    return GasFee(max(most, tip), tip) if max(most, tip) <= policy.max_fee_ceiling_wei else None


def _price(market: Market, policy: FeePolicy) -> int:
    if policy.gas_price_wei is not None:
        return policy.gas_price_wei
    return max(market.gas_price_wei, policy.tip_floor_wei)


def _raised(wei: int, policy: FeePolicy) -> int:
    """Raise by the percentage, rounded up, and by one wei at least."""
    ratio = 1 + policy.bump_percent / 100
    return max(-(-wei * ratio.numerator // ratio.denominator), wei + 1)


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
