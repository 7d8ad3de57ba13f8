"""What a pool payment can learn."""

from dataclasses import dataclass

from machines.core.chain import TxHash
from machines.core.facts import Fact
from machines.core.ports import Evidence


@dataclass(frozen=True, slots=True)
class Debited(Fact):
    """The pool's books took it off the balance and logged it as pending."""

    at_s: int


@dataclass(frozen=True, slots=True)
class Skipped(Fact):
    """It is not paid this time; the books took nothing, and never will for this payment."""

    reason: str


@dataclass(frozen=True, slots=True)
class AtLane(Fact):
    """The lane has it, and has not signed it yet."""

    waiting_for: str = ""


@dataclass(frozen=True, slots=True)
class LaneSigned(Fact):
    """The lane signed it: this is the attempt that went out last."""

    hash: TxHash
    nonce: int
    waiting_for: str = ""


@dataclass(frozen=True, slots=True)
class ProvenPaid(Fact):
    """The chain proves that it was paid, and the books say so."""

    evidence: Evidence
    at_s: int


@dataclass(frozen=True, slots=True)
class TakenBack(Fact):
    """The lane had proof that it was paid, and has none any more: the chain dropped the block."""

    now: str
    unpaid: bool = False
    """Whether it is proven by now that it was not paid at all."""


@dataclass(frozen=True, slots=True)
class CreditedBack(Fact):
    """It is proven unpaid, and the books gave it back."""

    reason: str
    evidence: Evidence | None = None
    refused: bool = False
    """Whether the address itself threw it back."""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Contradicted(Fact):
    """The chain, the lane and the books cannot all be true."""

    reason: str
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Resumed(Fact):
    """A person says: look again."""

    by: str


@dataclass(frozen=True, slots=True)
class MarkedPaid(Fact):
    """A person brought a transaction; the chain proves that it paid, and the books say so."""

    by: str
    evidence: Evidence
    at_s: int
