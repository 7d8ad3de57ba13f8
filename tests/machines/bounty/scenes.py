"""Bounties as tests need them: in a state, with a past that can lead there."""

from dataclasses import replace
from typing import Any

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.data import (
    BountyData,
    BountyPolicy,
    BountyRecord,
    Hand,
    ProposalAttempt,
    bounty_id,
    owner_of_repository,
)
from machines.bounty.react import react
from machines.core.clock import DAY, Millis
from machines.core.decision import Decision
from machines.core.errors import BadInput
from machines.core.facts import Fact
from machines.core.forge import ForgeIssue, Place, PullRequest, PullState
from machines.core.record import Record
from machines.core.wallets import ETHER, ContractCall, Creation, Holding, WalletProposal

NOW = Millis(1_800_000_000_000)
POLICY = BountyPolicy()
STATES = tuple(s.LIFECYCLE.states)
REPOSITORY, ISSUE = 6_000_000_001, 5_000_000_002
ID = bounty_id(REPOSITORY, ISSUE, 8)
PLACE = Place(77, REPOSITORY, "acme/widgets", 7)
WALLET = "0x1111111111111111111111111111111111111111"
ANNS, BOBS = "0x2222222222222222222222222222222222222222", "0x3333333333333333333333333333333333333333"
EXECUTE, PAYOUT, OTHER = ("0x" + pair * 32 for pair in ("e1", "a1", "b1"))
CONFIRM = "0x" + "00" * 31 + "07"
ETHERS = (Holding(ETHER, "ETH", 18, str(5 * 10**17)),)


def pull(number: int = 8, state: PullState = PullState.MERGED, author: str = "ann", **parts: Any) -> PullRequest:
    """A pull request that closes the issue."""
    given: dict[str, Any] = {
        "id": 5_000_000_100 + number,
        "number": number,
        "title": "Heal it",
        "author_id": 5_000_000_200 + number,
        "author": author,
        "commit_sha": f"{number:040x}",
        "state": state,
        "closes": (7,),
        "updated_at": NOW + number,
        "merged_at": NOW + number if state == PullState.MERGED else 0,
    }
    return PullRequest(**(given | parts))


def issue(**parts: Any) -> ForgeIssue:
    """The issue as it is."""
    given: dict[str, Any] = {"id": ISSUE, "number": 7, "title": "It hurts", "open": True, "labelled": True}
    return ForgeIssue(**({**given, "updated_at": NOW} | parts))


def proposal(number: int = 1, to: str = ANNS) -> WalletProposal:
    """A payment that was fixed."""
    call = ContractCall(WALLET, "0x01")
    return WalletProposal(
        kind="multisig",
        number=number,
        wallet=WALLET,
        to=to,
        holdings=ETHERS,
        operation=ContractCall(to, "0x"),
        value_units=ETHERS[0].units,
        delegate=False,
        nonce=-1,
        hash="",
        approval=call,
        since_block=1,
    )


def attempt(number: int = 1, **parts: Any) -> ProposalAttempt:
    """A payment that the bot has approved."""
    given: dict[str, Any] = {"proposal": proposal(number), "execute_hash": EXECUTE, "confirm_hash": CONFIRM}
    return ProposalAttempt(**(given | parts))


_OPENED: dict[str, Any] = {
    "swept_at": NOW,
    "creation": Creation("multisig", (WALLET, ANNS), 2, ContractCall("", "0x")),
    "hands": (Hand(1, "mia", BOBS),),
    "transaction_hash": OTHER,
    "contract_address": WALLET,
    "holdings": ETHERS,
}
_WON: dict[str, Any] = {
    **_OPENED,
    "claims": (pull(),),
    "known_merges": (pull().id,),
    "winner_pull": pull().id,
    "winner_id": pull().author_id,
    "winner_login": "ann",
    "commit_sha": pull().commit_sha,
}
_FIXED: dict[str, Any] = {
    **_WON,
    "attempts": (ProposalAttempt(proposal(), execute_hash=EXECUTE),),
    "execute_hash": EXECUTE,
}
_APPROVED: dict[str, Any] = {**_FIXED, "attempts": (attempt(),), "confirm_hash": CONFIRM, "payout_address": ANNS}
_PAID: dict[str, Any] = {**_APPROVED, "payout_hash": PAYOUT, "payout_receipt": (("block", "9"),), "holdings": ()}

USUAL: dict[str, dict[str, Any]] = {
    s.OPENING: {},
    s.OPEN: _OPENED,
    s.CLOSED: {**_OPENED, "issue_open": False},
    s.MERGED: _WON,
    s.AWAITING_ADDRESS: {**_WON, "asked_at": NOW},
    s.CONTESTED: {**_WON, "claims": (pull(), pull(9, author="bob"))},
    s.EXECUTED: _FIXED,
    s.CONFIRMABLE: _APPROVED,
    s.CONFIRMING: {**_APPROVED, "payout_hash": PAYOUT, "confirmed_at": NOW},
    s.PAID: _PAID,
    s.REVOKING: {**_OPENED, "refund_to": BOBS, "attempts": (attempt(refund=True),), "confirm_hash": CONFIRM},
    s.REFUNDED: {**_OPENED, "refund_to": BOBS, "attempts": (attempt(refund=True),), "payout_hash": PAYOUT},
}


def bounty(state: str, **parts: Any) -> BountyRecord:
    """A bounty in a state, with its usual past."""
    data = BountyData(**{"place": PLACE, "issue_id": ISSUE, **USUAL[state], **parts})
    return Record(ID, "bounty", state, 3, owner_of_repository(REPOSITORY), None, data, NOW, NOW)


def decide(record: BountyRecord, fact: Fact, now: int = NOW) -> Decision[BountyData]:
    """What the machine decides; it must not refuse."""
    return react(POLICY, record, fact, Millis(now))


def after(record: BountyRecord, fact: Fact, now: int = NOW) -> BountyRecord:
    """The record as the store will have it after a fact."""
    decision = decide(record, fact, now)
    state = s.LIFECYCLE.target(record.state, decision.trigger).name if decision.trigger else record.state
    data = record.data if decision.data is None else decision.data
    return replace(record, state=state, version=record.version + 1, data=data)


def answer(record: BountyRecord, fact: Fact, now: int = NOW) -> Decision[BountyData] | str:
    """What the machine decides, or why it refuses."""
    try:
        return decide(record, fact, now)
    except BadInput as refusal:
        return str(refusal)


def paid(number: int = 1, payout_hash: str = PAYOUT) -> f.PaidOut:
    """The wallet says that a proposal was paid."""
    return f.PaidOut(number, payout_hash, (("block", "9"),))


EVERY_FACT: tuple[Fact, ...] = (
    f.Swept(issue(), (pull(),)),
    f.Swept(None, ()),
    f.Swept(issue(id=1), ()),
    f.IssueChanged(issue(open=False, updated_at=NOW + 9)),
    f.IssueChanged(issue(labelled=False, updated_at=NOW + 9)),
    f.IssueGone("deleted"),
    f.IssueUnreadable("it has too many events"),
    f.PullChanged(pull(9, author="bob")),
    f.PullChanged(pull(10, PullState.OPENED)),
    f.Renamed("acme/gadgets", 78),
    f.Commented(1, "print"),
    f.Blocked("gas"),
    f.Planned(Creation("safe", (), 2, ContractCall("", "0x")), ()),
    f.Deploying(EXECUTE),
    f.Deployed(WALLET, EXECUTE),
    f.DeployFailed("out of gas"),
    f.Held(()),
    f.Held(ETHERS),
    f.NoAddress(pull().author_id),
    f.AddressKnown(pull().author_id, ANNS),
    f.ApprovalWithdrawn(1),
    f.Proposed(proposal(), refund=False),
    f.Proposed(proposal(2), refund=False),
    f.Executing(1, OTHER),
    f.BotApproved(1, EXECUTE, CONFIRM),
    f.NotApproved(1, "reverted"),
    f.Confirmed("mia", 1, PAYOUT),
    f.Confirmed("mia", 1, OTHER),
    f.Underway(1, OTHER),
    paid(),
    paid(1, OTHER),
    paid(7),
    f.NotPaidOut(1, PAYOUT, "failed"),
    f.Vanished(1, PAYOUT),
    f.Dead(1, "superseded"),
    f.Decided("olu", pull().id),
    f.Decided("olu", 0),
    f.Reassigned("mia", pull(9).id),
    f.Retracted("mia", "mistake"),
    f.Revoked("mia", BOBS),
    f.SweepWanted("mia"),
    f.SweepWanted("mia", BOBS, 1),
    f.IssueChanged(issue(updated_at=NOW + 9, reopened_at=NOW + 9)),
    f.PullChanged(pull(11, closes=(), reverts=(8,))),
    f.HandWanted(f"pull {pull().id}"),
    f.HandWanted(f"refund to {BOBS}"),
    f.AgreementGiven("mia", 1, f"pull {pull().id}"),
    f.AgreementGiven("olu", 0, f"refund to {BOBS}"),
    f.RefundNamed(ANNS, BOBS, "words", "0x"),
)
LATE = NOW + 40 * DAY
