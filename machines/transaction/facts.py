"""What a lane, a payment and a transaction can learn."""

from dataclasses import dataclass, replace

from machines.core.chain import NodeAnswer, Receipt, Seen, TxHash
from machines.core.decision import New
from machines.core.facts import Fact, PersonFact, Read
from machines.core.ports import Cause
from machines.transaction.caps import Charge
from machines.transaction.data import LaneRecord, PaymentRecord, SignedAttempt, Suspect, TransactionData

# ── a lane ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Signing:
    """One transaction that the lane signed, and the payments that it carries."""

    new: New[TransactionData]
    members: tuple[PaymentRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class UnpayablePayment:
    """A payment that the chain says can never be made as it is; nothing was signed for it."""

    payment: PaymentRecord
    reason: str
    cause: Cause = Cause.DESTINATION
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Looked(Fact):
    """What a look at a lane's queue and at the chain gave."""

    next_nonce: int
    signed: tuple[Signing, ...] = ()
    unpayable: tuple[UnpayablePayment, ...] = ()
    waits_for: str = ""
    lacks: str = ""
    """As in the lane's data."""
    again_s: float | None = None
    """When there is something to see again; None for the usual pace."""
    capped: bool = False
    """Whether it is a cap that it waits for."""
    charges: tuple[Charge, ...] = ()
    """What the signed transactions spend under the lane's caps."""

    def recorded(self) -> object:
        """Keep the nonces and hashes; the bytes are on the transactions."""
        signed = [(one.new.data.nonce, one.new.data.newest.hash, len(one.members)) for one in self.signed]
        return {"next_nonce": self.next_nonce, "signed": signed, "waits_for": self.waits_for}


@dataclass(frozen=True, slots=True)
class FoundOutside(Fact):
    """Nonces that we did not use are used up, for good: by these transactions."""

    next_nonce: int
    seen: tuple[Seen, ...]
    suspects: tuple[Suspect, ...]

    def recorded(self) -> object:
        """Keep the hashes: what they did stands on the chain."""
        return {"seen": [(one.nonce, one.hash) for one in self.seen], "suspects": self.suspects}


@dataclass(frozen=True, slots=True)
class Adopted(PersonFact):
    """A person says which of the suspects paid our payments; the others did not."""

    reason: str
    paid: tuple[tuple[PaymentRecord, TxHash], ...] = ()
    read: Read = ()

    def recorded(self) -> object:
        """Keep ids, not records."""
        paid = [(one.id, tx) for one, tx in self.paid]
        return {"by": self.by, "reason": self.reason, "paid": paid, "read": self.read}


@dataclass(frozen=True, slots=True)
class Trusted(Fact):
    """Two people say that the word of one node counts alone until some time; no node's does where none is named."""

    node: str
    until: int
    by: str
    reason: str


# ── a payment ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Withdrawn(PersonFact):
    """Nobody wants the payment any more."""

    reason: str
    read: Read = ()


# ── a transaction ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Broadcast(Fact):
    """An attempt's bytes went to the nodes, or may have."""

    hash: TxHash
    answer: NodeAnswer
    at: int


@dataclass(frozen=True, slots=True)
class Bumped(Fact):
    """Another attempt at the same nonce is signed."""

    attempt: SignedAttempt
    why: str
    lane: LaneRecord | None = None
    """The lane, where it has a cap on fees."""
    charges: tuple[Charge, ...] = ()

    def recorded(self) -> object:
        """Keep all but the bytes, which are on the record."""
        return {"attempt": replace(self.attempt, raw=""), "why": self.why}


@dataclass(frozen=True, slots=True)
class Mined(Fact):
    """One of the attempts is in a block."""

    hash: TxHash
    block: int
    block_hash: str


@dataclass(frozen=True, slots=True)
class Unmined(Fact):
    """What a block of the chain said about it does not hold any more."""

    members: tuple[PaymentRecord, ...]
    deep: bool
    """Whether that block could not go away, said the chain."""

    def recorded(self) -> object:
        """Keep what was learned."""
        return {"deep": self.deep}


@dataclass(frozen=True, slots=True)
class Rooted(Fact):
    """It is so deep that nobody needs to look again."""


@dataclass(frozen=True, slots=True)
class Short:
    """Less of a token came to a payee than was sent: some tokens keep a fee."""

    place: int
    """Of the payment among the members."""
    came: int
    """How many units came to the payee, in all payments of the transaction to them."""
    wanted: int


@dataclass(frozen=True, slots=True)
class Finished(Fact):
    """It is deep enough: this is what it did."""

    receipt: Receipt
    members: tuple[PaymentRecord, ...]
    failed: frozenset[int] = frozenset()
    """Which members, by their place, a batch could not pay."""
    sender: str = ""
    short: tuple["Short", ...] = ()
    permits: tuple[str, ...] = ()
    """For each member, what permits it once more, should it wait again."""

    def recorded(self) -> object:
        """Keep the receipt without its events."""
        fields = {"receipt": replace(self.receipt, logs=()), "failed": sorted(self.failed)}
        return fields | {"short": self.short} if self.short else fields


@dataclass(frozen=True, slots=True)
class Displaced(Fact):
    """Its nonce went to another transaction, for good."""

    seen: Seen
    receipt: Receipt
    members: tuple[PaymentRecord, ...]
    paid: frozenset[int] = frozenset()
    """Which members, by their place, that other transaction paid all the same."""
    lane: LaneRecord | None = None
    """The lane, where that transaction may have paid others too."""
    suspects: tuple[Suspect, ...] = ()
    short: tuple[Short, ...] = ()
    permits: tuple[str, ...] = ()
    """As above."""

    def recorded(self) -> object:
        """Keep what took the nonce."""
        fields = {"hash": self.seen.hash, "block": self.receipt.block, "paid": sorted(self.paid)}
        return fields | {"suspects": self.suspects} if self.suspects else fields


@dataclass(frozen=True, slots=True)
class BumpAsked(PersonFact):
    """An operator wants a better price now."""


@dataclass(frozen=True, slots=True)
class CancelAsked(PersonFact):
    """An operator wants the nonce used up by nothing."""

    reason: str
    read: Read = ()
