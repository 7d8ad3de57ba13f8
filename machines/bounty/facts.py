"""What bounties and repositories can learn. A fact about a payment names the proposal or transaction it speaks of."""

from dataclasses import dataclass

from machines.bounty.data import Hand
from machines.core.facts import Fact, PersonFact
from machines.core.forge import ForgeIssue, PullRequest
from machines.core.wallets import Creation, Holding, WalletProposal


@dataclass(frozen=True, slots=True)
class ProposalFact(Fact):
    """What was learned of one proposal."""

    number: int


# ── from the forge ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Swept(Fact):
    """The forge was read as a whole; `issue` is None where it is gone."""

    issue: ForgeIssue | None
    pulls: tuple[PullRequest, ...]


@dataclass(frozen=True, slots=True)
class IssueUnreadable(Fact):
    """There is more of the issue than may be read: nothing is known of it."""

    why: str


@dataclass(frozen=True, slots=True)
class IssueChanged(Fact):
    """The forge told what an issue is now."""

    issue: ForgeIssue


@dataclass(frozen=True, slots=True)
class IssueGone(Fact):
    """The issue is not there any more."""

    why: str


@dataclass(frozen=True, slots=True)
class PullChanged(Fact):
    """The forge told what a pull request is now."""

    pull: PullRequest


@dataclass(frozen=True, slots=True)
class Renamed(Fact):
    """The repository is called otherwise now, or reached through another installation."""

    name: str
    installation: int


@dataclass(frozen=True, slots=True)
class Commented(Fact):
    """The comment says what it should."""

    comment: int
    fingerprint: str
    told: str = ""
    """The question for another hand that everybody can read there; empty where it could not be written."""


# ── the wallet ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Blocked(Fact):
    """It cannot go on before something is there."""

    waiting_for: str


@dataclass(frozen=True, slots=True)
class Planned(Fact):
    """How the wallet is made is fixed."""

    creation: Creation
    hands: tuple[Hand, ...]
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Deploying(Fact):
    """The transaction that makes the wallet has a hash."""

    transaction_hash: str


@dataclass(frozen=True, slots=True)
class Deployed(Fact):
    """The wallet is there, with the right owners."""

    contract_address: str
    transaction_hash: str
    seal: str = ""


@dataclass(frozen=True, slots=True)
class DeployFailed(Fact):
    """The transaction made no wallet."""

    reason: str


@dataclass(frozen=True, slots=True)
class Held(Fact):
    """What the wallet holds."""

    holdings: tuple[Holding, ...]


# ── the payment ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class NoAddress(Fact):
    """The winner has not said where his money should go."""

    person: int


@dataclass(frozen=True, slots=True)
class AddressKnown(Fact):
    """The winner has said it."""

    person: int
    address: str


@dataclass(frozen=True, slots=True)
class AddressChanging(Fact):
    """Somebody who claims it replaces the address where they are paid."""

    person: int
    counts_from: int
    """0 where they took it back, or it counts."""


@dataclass(frozen=True, slots=True)
class HandWanted(Fact):
    """Who would be paid is one of those who agree to it: the bot does not, before another hand has asked for it."""

    about: str


@dataclass(frozen=True, slots=True)
class ApprovalWithdrawn(ProposalFact):
    """The bot's approval of an earlier proposal is worth nothing any more."""


@dataclass(frozen=True, slots=True)
class Proposed(Fact):
    """What is paid, and to whom, is fixed."""

    proposal: WalletProposal
    refund: bool
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Executing(ProposalFact):
    """The bot's approval has a hash."""

    execute_hash: str


@dataclass(frozen=True, slots=True)
class BotApproved(ProposalFact):
    """The wallet's event tells what the other owners confirm."""

    execute_hash: str
    confirm_hash: str


@dataclass(frozen=True, slots=True)
class NotApproved(ProposalFact):
    """The bot's approval is proven to have failed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Confirmed(PersonFact):
    """A maintainer named the transaction with which he confirms."""

    number: int
    payout_hash: str


@dataclass(frozen=True, slots=True)
class Underway(ProposalFact):
    """The wallet's chain shows a transaction that is about to pay."""

    payout_hash: str


@dataclass(frozen=True, slots=True)
class PaidOut(ProposalFact):
    """The wallet's own event says that a proposal was paid."""

    payout_hash: str
    receipt: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class NotPaidOut(ProposalFact):
    """A transaction that was named paid nothing."""

    payout_hash: str
    reason: str


@dataclass(frozen=True, slots=True)
class Vanished(ProposalFact):
    """No node knows the transaction that was named."""

    payout_hash: str


@dataclass(frozen=True, slots=True)
class Dead(ProposalFact):
    """A proposal can never be paid any more."""

    reason: str


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Decided(PersonFact):
    """An operator says which merged claim wins."""

    pull: int


@dataclass(frozen=True, slots=True)
class Reassigned(PersonFact):
    """A maintainer names another merged claim, because the winner let the deadline pass."""

    pull: int


@dataclass(frozen=True, slots=True)
class Retracted(PersonFact):
    """A person takes a payment back that no maintainer has confirmed yet."""

    reason: str


@dataclass(frozen=True, slots=True)
class Revoked(PersonFact):
    """A maintainer wants the money back, at this address."""

    to: str
    person: int = 0


@dataclass(frozen=True, slots=True)
class SweepWanted(PersonFact):
    """A maintainer wants paid out what came in later: to the winner, or, where there is an address, back to it."""

    to: str = ""
    person: int = 0


@dataclass(frozen=True, slots=True)
class AgreementGiven(PersonFact):
    """Another hand, or an operator, asks for what the bot or the page holds back."""

    person: int
    """0 for an operator."""
    about: str


@dataclass(frozen=True, slots=True)
class RefundNamed(Fact):
    """Whoever funded the wallet says where they want their money back, and the funding address signed for it."""

    funder: str
    to: str
    message: str
    signature: str


# ── a repository ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Installed(Fact):
    """The app is installed in it, and this is what it is called."""

    name: str
    installation: int
    private: bool = False


@dataclass(frozen=True, slots=True)
class Removed(Fact):
    """The app was taken away."""


@dataclass(frozen=True, slots=True)
class HandProven(Fact):
    """A maintainer proved by a signature that an address is his."""

    hand: Hand
    message: str
    signature: str


@dataclass(frozen=True, slots=True)
class HandRemoved(Fact):
    """Somebody shall own no more wallets; those that are made keep their owners."""

    person: int
    by: str
