"""What the chain proves about a payment: paid, unpaid, or neither. Nothing here is taken from what somebody expects.

A payment that the pool's old module left in the middle may have been sent with a nonce and a hash that nobody wrote
down, or by a person who follows the manual procedure and has not come to its end. Every transaction of the pool's
address to that miner since a day before the row is accounted for by something else (another row, the history of another
amount, a payment of ours), or it is a *candidate*. The payment is *paid* if exactly one candidate carries its amount.
It is *unpaid* only if there is no candidate at all, nothing of the address waits, and what it might have been sent with
is used up: its nonce is, or so many transactions were mined well after the row was written that its nonce must be.
Otherwise the old transaction may still come, or one of the candidates is it, and nobody may pay or credit anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from machines.core.chain import Address, Chain, ChainHead, Receipt, Seen, TxHash
from machines.core.errors import Retryable
from machines.core.ports import Evidence
from machines.pool.data import WEI
from machines.pool.ports import Trail

MARGIN_S = 600
"""How far the pool's clock and the blocks' may be apart, and how long one transaction may wait for the one before."""
BEFORE_S = 24 * 3600
"""How long before its row a payment is looked for: a clock may have been wrong when the row was written."""
MOST_BLOCKS = 200_000
NAMED = 3


class ChainOutcome(StrEnum):
    """What is proven."""

    PAID = "paid"
    UNPAID = "unpaid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is proven, by what, and what to check where it is not."""

    outcome: ChainOutcome
    why: str
    evidence: Evidence | None = None
    at_s: int = 0
    """The second of the block that paid it."""
    fill: bool = False
    """Whether one more transaction from the address would settle it."""
    nothing_came: bool = False
    """Whether no transaction is in the chain that may be this payment; another one may still come."""


@dataclass(frozen=True, slots=True)
class InHistory:
    """One payment that the miner's history has."""

    tx: TxHash
    shannon: int
    at_s: int
    charge_wei: int = 0


@dataclass(frozen=True, slots=True)
class UnprovenPayment:
    """One payment that is to be judged."""

    sender: Address
    to: Address
    shannon: int
    at_s: int
    """When it was taken off the balance."""
    charge_wei: int = 0
    """What is kept back for the network now."""
    most_charge_wei: int = 0
    """What may have been kept back when it was sent: the file may have said something else."""
    tx: TxHash | None = None
    """The hash that was written down for it."""
    nonce: int | None = None
    """The nonce that was written down for it."""
    history: tuple[InHistory, ...] = ()
    ours: frozenset[TxHash] = frozenset()
    """Transactions that our own records account for."""
    others: frozenset[int] = frozenset()
    """The amounts of this miner's other rows that are pending."""
    rows: int = 1
    """How many payments may be in the middle at the same time."""
    clock_s: int | None = None
    """What the pool's clock says now; None where nobody asked."""

    def booked(self, tx: TxHash) -> InHistory | None:
        """Find a transaction in the miner's history; of several rows the one over this amount."""
        found = [one for one in self.history if one.tx == tx]
        return next((one for one in found if one.shannon == self.shannon), found[0] if found else None)

    def carries(self, value_wei: int) -> bool:
        """Say whether a value is this amount, with or without what is kept back."""
        return value_wei in self._values(self.shannon, 0)

    def may_carry(self, value_wei: int) -> bool:
        """Say whether a value is this amount, or what the file could have left of it."""
        return self.carries(value_wei) or 0 <= self.shannon * WEI - value_wei <= self.most_charge_wei

    def fits(self, seen: Seen) -> bool:
        """Say whether a transaction carries exactly this payment: sender, recipient, and the value."""
        booked = self.booked(seen.hash)
        charges = {0, self.charge_wei, booked.charge_wei if booked else 0}
        return self._is_between(seen) and seen.value_wei in {self.shannon * WEI - one for one in charges}

    def is_candidate(self, seen: Seen) -> bool:
        """Say whether a transaction to the miner may be this payment: nothing else accounts for it."""
        if seen.hash in self.ours or not (self._is_between(seen) or self._is_call(seen)):
            return False
        booked = self.booked(seen.hash)
        if booked is not None and booked.shannon != self.shannon:
            whole = seen.value_wei in self._values(booked.shannon, booked.charge_wei)
            return not (whole or self._is_call(seen)) or self.carries(seen.value_wei)
        if booked is None and not self.may_carry(seen.value_wei):
            return not any(seen.value_wei in self._values(one, 0) for one in self.others)
        return True

    def _is_between(self, seen: Seen) -> bool:
        return seen.sender == self.sender and seen.to == self.to and seen.value_wei > 0

    def _is_call(self, seen: Seen) -> bool:
        """Say whether it calls a contract and names the miner: it may have paid him among others."""
        return seen.sender == self.sender and seen.to != self.to and self.to[2:].lower() in seen.data.lower()

    def _values(self, shannon: int, charge_wei: int) -> frozenset[int]:
        whole = shannon * WEI
        return frozenset({whole, whole - self.charge_wei, whole - charge_wei})


class Certainty(Protocol):
    """Which blocks prove something."""

    def settled_up_to(self, head: ChainHead) -> int:
        """Give the newest block whose successes count."""

    def proven_up_to(self, head: ChainHead) -> int:
        """Give the newest block that proves that something was not paid; another payment may follow from it."""


@dataclass(frozen=True, slots=True)
class Depths:
    """How far the chain is believed, at one moment."""

    settled: int
    proven: int


async def judge(chain: Chain, trail: Trail, case: UnprovenPayment, certainty: Certainty) -> Verdict:
    """Say what the chain proves about a payment."""
    head = await chain.head()
    depths = Depths(certainty.settled_up_to(head), certainty.proven_up_to(head))
    noted = await _by_hash(chain, case, case.tx, depths) if case.tx is not None else None
    # That the one which was noted failed says nothing about another one.
    if noted is not None and noted.outcome is not ChainOutcome.UNPAID:
        return noted
    wrong_clock = _wrong_clock(case, head)
    if wrong_clock:
        return _unknown(wrong_clock)
    first = await trail.block_before(case.at_s - BEFORE_S) + 1
    if head.number - first > MOST_BLOCKS:
        return _unknown(
            f"the row is {head.number - first} blocks old, too many to read: "
            "find the transaction in a block explorer, then `payflow pool mark-paid`"
        )
    sent = await trail.sent(case.sender, first, head.number)
    latest, pending = await chain.nonce(case.sender, head.number), await chain.nonce(case.sender, "pending")
    before = await _nonce_before(chain, case.sender, first)
    first_nonce = before if before is not None else sent[0].nonce if sent else latest
    # The list comes from one node: what the lane's nodes count must be there, without a gap.
    if [one.nonce for one in sent] != list(range(first_nonce, latest)):
        return _unknown("the pool's node does not show all that the address has sent: try again in a moment")
    found = await _by_candidates(chain, case, sent, depths)
    if pending > latest and (found is None or found.outcome is ChainOutcome.UNPAID):
        return _unknown(
            f"{pending - latest} transactions of {case.sender} wait in the mempool: try again when they are in"
        )
    proven = [seen for seen in sent if (seen.block or 0) <= depths.proven]
    return found or replace(await _by_nonces(trail, case, proven, head.timestamp_s), nothing_came=True)


async def _nonce_before(chain: Chain, sender: Address, block: int) -> int | None:
    """Count what an address had sent before a block; None where no node keeps states that old."""
    try:
        return await chain.nonce(sender, block - 1) if block else 0
    except Retryable:
        return None


def _wrong_clock(case: UnprovenPayment, head: ChainHead) -> str:
    """Say that the pool's clock tells nothing about the blocks: rows are looked for by their time."""
    if case.clock_s is None:
        return ""
    behind = head.timestamp_s - case.clock_s
    if behind > MARGIN_S:
        return f"the pool's clock is {behind} seconds behind the chain's: set it right, then try again"
    if -behind > BEFORE_S:
        return f"the newest block is {-behind} seconds old by the pool's clock: one of them is wrong"
    return ""


async def _by_candidates(chain: Chain, case: UnprovenPayment, sent: Sequence[Seen], depths: Depths) -> Verdict | None:
    """Judge by what went to the miner; None where nothing did."""
    candidates = [seen for seen in sent if case.is_candidate(seen)]
    receipts = [(seen, await chain.receipt(seen.hash)) for seen in candidates]
    failed = {seen.hash: (seen, one) for seen, one in receipts if one and not one.ok and one.block <= depths.proven}
    left = [seen for seen in candidates if seen.hash not in failed]
    fitting = [seen for seen in left if case.fits(seen)]
    lost = _not_shown(case, sent)
    if len(fitting) == 1 and not lost and _is_only(case, fitting[0]):
        return await _by_receipt(chain, case, fitting[0], depths)
    if left:
        return _ambiguous(fitting or left)
    if lost:
        return _unknown(f"{lost[0].tx} is in the miner's history over this amount, and no block shows it")
    for seen, receipt in failed.values():
        if case.fits(seen):
            return _proven(case, seen, receipt)
    return None


def _not_shown(case: UnprovenPayment, sent: Sequence[Seen]) -> list[InHistory]:
    """List what the history has over this amount in that time and no block has: it may be this payment, mistyped."""
    shown = {seen.hash for seen in sent} | case.ours
    since = case.at_s - BEFORE_S
    return [one for one in case.history if one.shannon == case.shannon and one.at_s >= since and one.tx not in shown]


def _is_only(case: UnprovenPayment, seen: Seen) -> bool:
    """Say whether a transaction can be for this row alone: no other row has its amount, nor was it booked before."""
    booked = case.booked(seen.hash)
    if booked is not None and (booked.shannon != case.shannon or booked.at_s < case.at_s):
        return False
    return not any(one * WEI - seen.value_wei in (0, case.charge_wei) for one in case.others)


def _ambiguous(found: Sequence[Seen]) -> Verdict:
    hashes = ", ".join(one.hash for one in found[:NAMED])
    return _unknown(
        f"{hashes} went from the pool to the miner, and may be this payment or another one: look at it in a block "
        "explorer. If it paid this row, `payflow pool mark-paid` books it; if it paid something that the pool did not "
        "log, `payflow pool add-missing` accounts for it"
    )


async def check(chain: Chain, case: UnprovenPayment, tx: TxHash, certainty: Certainty) -> Verdict:
    """Say whether a transaction that somebody names paid this: sender, recipient, value, success, depth."""
    head = await chain.head()
    depths = Depths(certainty.settled_up_to(head), certainty.proven_up_to(head))
    return await _by_hash(chain, case, tx, depths) or _unknown(f"no node knows the transaction {tx}")


async def _by_hash(chain: Chain, case: UnprovenPayment, tx: TxHash, depths: Depths) -> Verdict | None:
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


def _differences(case: UnprovenPayment, seen: Seen) -> str:
    wrong = _elsewhere(case, seen)
    booked = case.booked(seen.hash)
    if wrong or booked is None:
        return wrong
    if booked.shannon != case.shannon:
        return f"it is booked for another payment of this miner already, over {booked.shannon} Shannon"
    if booked.at_s < case.at_s:
        return "it is in the miner's history since before this row was written: it is booked for an earlier payment"
    return ""


def _elsewhere(case: UnprovenPayment, seen: Seen) -> str:
    if seen.hash in case.ours:
        return "a payment of Payflow's accounts for it already"
    if seen.sender != case.sender:
        return f"it was sent by {seen.sender} and not by {case.sender}"
    if seen.to != case.to:
        return f"it went to {seen.to} and not to {case.to}"
    if not case.may_carry(seen.value_wei):
        return f"it carried {seen.value_wei} wei and not {case.shannon * WEI}"
    return ""


async def _by_receipt(chain: Chain, case: UnprovenPayment, seen: Seen, depths: Depths) -> Verdict:
    receipt = await chain.receipt(seen.hash)
    if receipt is None:
        return _unknown(f"{seen.hash} has no receipt yet: try again in a moment")
    if receipt.block > (depths.settled if receipt.ok else depths.proven):
        return _unknown(f"{seen.hash} is in block {receipt.block}, which is not deep enough: try again later")
    return _proven(case, seen, receipt)


async def _by_nonces(trail: Trail, case: UnprovenPayment, sent: Sequence[Seen], now_s: int) -> Verdict:
    """Judge a payment that no block shows: is what it might have been sent with used up?"""
    used = sent[-1].nonce + 1 if sent else 0
    if case.nonce is not None:
        if used > case.nonce:
            return _dead(f"its nonce {case.nonce} went to something else")
        return _unknown(f"its nonce {case.nonce} is still free, so the old transaction may still come", fill=True)
    left_s = case.at_s + MARGIN_S - now_s
    if left_s >= 0:
        return _unknown(
            f"no block shows it, and the row is younger than {MARGIN_S // 60} minutes: "
            f"try again in {left_s + 1} seconds"
        )
    late_from = await trail.block_before(case.at_s + MARGIN_S)
    late = [seen for seen in sent if (seen.block or 0) > late_from]
    if len(late) >= case.rows:
        return _dead(f"{late[-1].hash} and what came before it used up every nonce that it can have had")
    return _unknown(
        f"no block shows it, and nothing that {case.sender} sent since {MARGIN_S // 60} minutes after the row has used "
        f"up its nonce for good, so the old transaction may still come",
        fill=True,
    )


def _proven(case: UnprovenPayment, seen: Seen, receipt: Receipt) -> Verdict:
    evidence = evidence_of(case, seen, receipt)
    if receipt.ok:
        return Verdict(ChainOutcome.PAID, f"{seen.hash} paid it in block {receipt.block}", evidence)
    return Verdict(
        ChainOutcome.UNPAID, f"{seen.hash} failed in block {receipt.block}: the address threw it back", evidence
    )


def evidence_of(case: UnprovenPayment, seen: Seen, receipt: Receipt) -> Evidence:
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
    charged_wei = case.shannon * WEI - seen.value_wei
    if charged_wei:
        details["charge_wei"] = str(charged_wei)
    return Evidence("ethereum", seen.hash, tuple(details.items()))


def _dead(why: str) -> Verdict:
    return Verdict(ChainOutcome.UNPAID, f"no transaction to the miner over this amount is in the chain, and {why}")


def _unknown(why: str, *, fill: bool = False) -> Verdict:
    how = ": `payflow pool resolve --fill` uses it up by a transaction that pays nobody, and then resolves"
    return Verdict(ChainOutcome.UNKNOWN, why + how if fill else why, fill=fill)
