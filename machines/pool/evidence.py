"""What the chain proves about a payment: paid, unpaid, or neither. Nothing here is taken from what somebody expects.

A payment that the pool's old module left in the middle may have been sent with a nonce and a hash that nobody wrote
down. It is *paid* if a transaction of the pool's address to that miner over that amount is deep in the chain. It is
*unpaid* only if there is none, nothing of the address waits, and what it might have been sent with is used up: its
nonce is, or so many transactions were mined well after the row was written that its nonce must be. Otherwise the old
transaction may still come, and nobody may pay or credit anything. A batch that names the miner and the amount may have
paid it: such a payment was made by a Payflow whose records are gone, and a person must look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from machines.core.chain import Address, Chain, Head, Receipt, Seen, TxHash
from machines.core.ports import Evidence
from machines.pool.data import WEI
from machines.pool.ports import Trail

MARGIN_S = 600
"""How far the pool's clock and the blocks' may be apart, and how long one transaction may wait for the one before."""
MOST_BLOCKS = 200_000


class Outcome(StrEnum):
    """What is proven."""

    PAID = "paid"
    UNPAID = "unpaid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is proven, by what, and what to check where it is not."""

    outcome: Outcome
    why: str
    evidence: Evidence | None = None
    at_s: int = 0
    """The second of the block that paid it."""
    fill: bool = False
    """Whether one more transaction from the address would settle it."""


@dataclass(frozen=True, slots=True)
class Case:
    """One payment that is to be judged."""

    sender: Address
    to: Address
    shannon: int
    at_s: int
    """When it was taken off the balance."""
    charge_wei: int = 0
    tx: TxHash | None = None
    """The hash that was written down for it."""
    nonce: int | None = None
    """The nonce that was written down for it."""
    booked: frozenset[str] = frozenset()
    """Transactions that paid this miner something else already."""
    rows: int = 1
    """How many payments may be in the middle at the same time."""

    @property
    def amounts_wei(self) -> frozenset[int]:
        """What may have arrived."""
        whole = self.shannon * WEI
        return frozenset({whole, whole - self.charge_wei})

    def fits(self, seen: Seen) -> bool:
        """Say whether a transaction is this payment."""
        return (
            seen.sender == self.sender
            and seen.to == self.to
            and seen.value_wei in self.amounts_wei
            and seen.hash not in self.booked
        )

    def names(self, seen: Seen) -> bool:
        """Say whether a call of a contract may be this payment among others: it names the miner and the amount."""
        data = seen.data.lower()
        return (
            seen.hash not in self.booked
            and self.to[2:].lower() in data
            and any(f"{wei:x}" in data for wei in self.amounts_wei)
        )


class Certainty(Protocol):
    """Which blocks prove something."""

    def settled_up_to(self, head: Head) -> int:
        """Give the newest block whose successes count."""

    def proven_up_to(self, head: Head) -> int:
        """Give the newest block that proves that something was not paid; another payment may follow from it."""


@dataclass(frozen=True, slots=True)
class Depths:
    """How far the chain is believed, at one moment."""

    settled: int
    proven: int


async def judge(chain: Chain, trail: Trail, case: Case, certainty: Certainty) -> Verdict:
    """Say what the chain proves about a payment."""
    head = await chain.head()
    depths = Depths(certainty.settled_up_to(head), certainty.proven_up_to(head))
    if case.tx is not None:
        found = await _by_hash(chain, case, case.tx, depths)
        if found is not None:
            return found
    first = await trail.block_before(case.at_s - MARGIN_S) + 1
    if head.number - first > MOST_BLOCKS:
        return _unknown(
            f"the row is {head.number - first} blocks old, too many to read: "
            "find the transaction in a block explorer, then `payflow pool mark-paid`"
        )
    sent = await trail.sent(case.sender, first, head.number)
    for seen in sent:
        if case.fits(seen):
            return await _by_receipt(chain, case, seen, depths)
    for seen in sent:
        if case.names(seen) and not await _reverted(chain, seen, depths):
            return _unknown(
                f"{seen.hash} is a call of {seen.to} that names the miner and the amount: as a batch it may have paid "
                "it. Look at its events in a block explorer"
            )
    proven = [seen for seen in sent if (seen.block or 0) <= depths.proven]
    return await _by_nonces(chain, trail, case, proven, head.timestamp_s)


async def check(chain: Chain, case: Case, tx: TxHash, certainty: Certainty) -> Verdict:
    """Say whether a transaction that somebody names paid this: sender, recipient, value, success, depth."""
    head = await chain.head()
    found = await _by_hash(chain, case, tx, Depths(certainty.settled_up_to(head), certainty.proven_up_to(head)))
    return found or _unknown(f"no node knows the transaction {tx}")


async def _by_hash(chain: Chain, case: Case, tx: TxHash, depths: Depths) -> Verdict | None:
    """Judge by a hash; None where no node knows it, which proves nothing."""
    seen = await chain.transaction(tx)
    if seen is None:
        return None
    wrong = _differences(case, seen)
    if wrong:
        return _unknown(f"{tx} is not this payment: {wrong}")
    if seen.block is None:
        return _unknown(f"{tx} waits in the mempool: let it be mined, then try again")
    return await _by_receipt(chain, case, seen, depths)


def _differences(case: Case, seen: Seen) -> str:
    if seen.hash in case.booked:
        return "it is booked for another payment of this miner already"
    if seen.sender != case.sender:
        return f"it was sent by {seen.sender} and not by {case.sender}"
    if seen.to != case.to:
        return f"it went to {seen.to} and not to {case.to}"
    if not case.fits(seen):
        return f"it carried {seen.value_wei} wei and not {case.shannon * WEI}"
    return ""


async def _by_receipt(chain: Chain, case: Case, seen: Seen, depths: Depths) -> Verdict:
    receipt = await chain.receipt(seen.hash)
    if receipt is None:
        return _unknown(f"{seen.hash} has no receipt yet: try again in a moment")
    if receipt.block > (depths.settled if receipt.ok else depths.proven):
        return _unknown(f"{seen.hash} is in block {receipt.block}, which is not deep enough: try again later")
    evidence = evidence_of(case, seen, receipt)
    if receipt.ok:
        return Verdict(Outcome.PAID, f"{seen.hash} paid it in block {receipt.block}", evidence)
    return Verdict(Outcome.UNPAID, f"{seen.hash} failed in block {receipt.block}: the address threw it back", evidence)


async def _reverted(chain: Chain, seen: Seen, depths: Depths) -> bool:
    receipt = await chain.receipt(seen.hash)
    return receipt is not None and not receipt.ok and receipt.block <= depths.proven


async def _by_nonces(chain: Chain, trail: Trail, case: Case, sent: Sequence[Seen], now_s: int) -> Verdict:
    """Judge a payment that no block shows: is what it might have been sent with used up?"""
    latest, pending = await chain.nonce(case.sender), await chain.nonce(case.sender, "pending")
    if pending > latest:
        return _unknown(
            f"{pending - latest} transactions of {case.sender} wait in the mempool: try again when they are in"
        )
    used = sent[-1].nonce + 1 if sent else 0
    if case.nonce is not None:
        if used > case.nonce:
            return _dead(f"its nonce {case.nonce} went to something else")
        return _unknown(f"its nonce {case.nonce} is still free, so the old transaction may still come", fill=True)
    if now_s <= case.at_s + MARGIN_S:
        return _unknown(f"no block shows it, and the row is younger than {MARGIN_S // 60} minutes: try again later")
    late_from = await trail.block_before(case.at_s + MARGIN_S)
    late = [seen for seen in sent if (seen.block or 0) > late_from]
    if len(late) >= case.rows:
        return _dead(f"{late[-1].hash} and what came before it used up every nonce that it can have had")
    return _unknown(
        f"no block shows it, and nothing that {case.sender} sent since {MARGIN_S // 60} minutes after the row has used "
        f"up its nonce, so the old transaction may still come",
        fill=True,
    )


def evidence_of(case: Case, seen: Seen, receipt: Receipt) -> Evidence:
    """Write down what proves it."""
    details = {
        "block": str(receipt.block),
        "block_hash": receipt.block_hash,
        "nonce": str(seen.nonce),
        "gas_used": str(receipt.gas_used),
        "gas_price_wei": str(receipt.gas_price_wei),
        "fee_wei": str(receipt.gas_used * receipt.gas_price_wei),
        "sender": str(case.sender),
    }
    return Evidence("ethereum", seen.hash, tuple(details.items()))


def _dead(why: str) -> Verdict:
    return Verdict(Outcome.UNPAID, f"no transaction to the miner over this amount is in the chain, and {why}")


def _unknown(why: str, *, fill: bool = False) -> Verdict:
    return Verdict(Outcome.UNKNOWN, why, fill=fill)
