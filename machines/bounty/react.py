"""What a fact means to a bounty. Pure: a record, a fact and the time give a decision."""

from dataclasses import replace
from functools import partial

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.claims import assess, renamed, swept
from machines.bounty.data import BountyData, BountyPolicy, BountyRecord, Choice
from machines.bounty.payment import (
    approved,
    approved_late,
    confirmed,
    dead,
    deploy_failed,
    deployed,
    deploying,
    doubted,
    executing,
    held,
    is_current,
    not_approved,
    paid,
    paid_already,
    planned,
    proposed,
    underway,
    withdrawn,
)
from machines.bounty.people import (
    address_changing,
    agreed,
    decided,
    hand_wanted,
    reassigned,
    refund_named,
    retracted,
    revoked,
    sweep_wanted,
)
from machines.bounty.permit import ADOPTION
from machines.core.clock import Millis
from machines.core.decision import Message, alarm, keep, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, LostSight, Nothing, Override, Refused, override
from machines.core.machine import Machine, Prove, RetryPolicy
from machines.core.ports import Act

# Nobody's money waits for a comment, so a forge that is down must not slow a look much.
RETRY = RetryPolicy(base_s=1, cap_s=60)
UNREADABLE_AGAIN_S = 3600.0
"""It costs dozens of requests to find out that an issue is still too long."""


def bounty(
    policy: BountyPolicy, acts: dict[str, Act[BountyData]], prove: Prove[BountyData] | None = None
) -> Machine[BountyData]:
    return Machine(
        lifecycle=s.LIFECYCLE,
        data=BountyData,
        react=partial(react, policy),
        acts=acts,
        prove=prove,
        retry=RETRY,
        adoption=ADOPTION,
    )


def react(policy: BountyPolicy, record: BountyRecord, fact: Fact, now: Millis) -> Choice:
    """Decide; one case a line, the reasons beside."""
    match record.state, fact:
        case _, Override():
            return _overridden(record, fact)
        case _, Nothing():
            return wait()
        # ── what the wallet's own events say, in whatever state it surfaces ──
        case ((s.PAID | s.REFUNDED), f.PaidOut()):
            return paid_already(record, fact)
        case _, f.PaidOut():
            return paid(record, fact)
        # ── what the forge says ──
        case _, f.Commented():
            return _commented(record, fact, now)
        case _, f.Renamed():
            return renamed(record, fact)
        case _, f.Swept():
            return swept(policy, record, fact, now)
        case _, f.IssueUnreadable(why):
            return _trouble(record, why).but(again_s=UNREADABLE_AGAIN_S)
        case _, f.IssueChanged(issue):
            return assess(policy, record, record.data.with_issue(issue), "the issue changed")
        case _, f.IssueGone(why):
            return assess(policy, record, replace(record.data, gone=why), why)
        case _, f.PullChanged(pull):
            data = record.data.with_claim(pull).with_reverts(pull)
            return assess(policy, record, data, f"pull request {pull.number} changed")
        # ── its wallet ──
        case s.OPENING, f.Planned():
            return planned(record, fact)
        case s.OPENING, f.Deploying():
            return deploying(record, fact)
        case s.OPENING, f.Deployed():
            return deployed(record, fact)
        case s.OPENING, f.DeployFailed():
            return deploy_failed(record, fact)
        case ((s.OPEN | s.CLOSED | s.MERGED | s.PAID | s.REFUNDED | s.REVOKING | s.CONTESTED), f.Held()):
            return held(policy, record, fact)
        # ── the payment ──
        case s.MERGED, f.NoAddress():
            return _asked(policy, record, now)
        case s.AWAITING_ADDRESS, f.NoAddress(person) if person == record.data.winner_id:
            return _reminded(record)
        case s.AWAITING_ADDRESS, f.AddressKnown(person) if person == record.data.winner_id:
            return assess(
                policy, record, replace(record.data, waiting_for=""), "the winner has an address that counts", "answer"
            )
        case state, f.AddressChanging() if state in s.UNFIXED:
            return address_changing(record, fact)
        case ((s.MERGED | s.EXECUTED | s.REVOKING), f.HandWanted(about)):
            return hand_wanted(record, about)
        case ((s.OPEN | s.CLOSED | s.CONTESTED | s.MERGED | s.REVOKING), f.ApprovalWithdrawn()):
            return withdrawn(record, fact)
        case ((s.MERGED | s.REVOKING), f.Proposed()):
            return proposed(policy, record, fact)
        case ((s.EXECUTED | s.REVOKING), f.Executing()):
            return executing(record, fact)
        case ((s.EXECUTED | s.REVOKING), f.BotApproved(number)) if is_current(record, number):
            return approved(record, fact)
        case _, f.BotApproved():
            return approved_late(record, fact)
        case ((s.EXECUTED | s.REVOKING), f.NotApproved()):
            return not_approved(record, fact)
        case ((s.CONFIRMABLE | s.CONFIRMING | s.REVOKING), f.Confirmed()):
            return confirmed(record, fact, now)
        case ((s.PAID | s.REFUNDED), f.Confirmed(_, _, payout_hash)) if payout_hash == record.data.payout_hash:
            return wait()
        case ((s.CONFIRMABLE | s.CONFIRMING | s.REVOKING), f.Underway()):
            return underway(record, fact, now)
        case ((s.CONFIRMING | s.REVOKING), (f.NotPaidOut() | f.Vanished())):
            return doubted(record, fact)
        case ((s.EXECUTED | s.CONFIRMABLE | s.CONFIRMING | s.REVOKING), f.Dead()):
            return dead(record, fact)
        # ── people ──
        case s.CONTESTED, f.Decided():
            return decided(record, fact)
        case s.AWAITING_ADDRESS, f.Reassigned():
            return reassigned(policy, record, fact, now)
        case ((s.CONFIRMABLE | s.REVOKING), f.Retracted()):
            return retracted(record, fact)
        case ((s.OPEN | s.CLOSED | s.AWAITING_ADDRESS | s.CONTESTED), f.Revoked()):
            return revoked(policy, record, fact, now)
        case ((s.MERGED | s.EXECUTED | s.CONFIRMABLE | s.CONFIRMING | s.REVOKING), f.AgreementGiven()):
            return agreed(record, fact)
        case _, f.RefundNamed():
            return refund_named(record, fact)
        case ((s.PAID | s.REFUNDED), f.SweepWanted()):
            return sweep_wanted(policy, record, fact, now)
        case _, (
            f.Confirmed()
            | f.Decided()
            | f.Reassigned()
            | f.Retracted()
            | f.Revoked()
            | f.SweepWanted()
            | f.AgreementGiven()
        ):
            raise BadInput(f"{record.data.place.path} is {record.state}: that cannot be done now.")
        # ── what stands in the way ──
        case _, f.Blocked(waiting_for):
            return _waits(record, waiting_for)
        case _, Refused(reason):
            return _trouble(record, reason)
        case _, LostSight():
            return wait()
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")


def _overridden(record: BountyRecord, fact: Override) -> Choice:
    """Do what the person says, where the record has what the state needs."""
    decision, data = override(s.LIFECYCLE, record, fact), record.data
    if fact.to == s.CONTESTED and data.current:
        # Where a person decides no approval of the bot's stands: as when they take it back.
        decision = decision.but(data=data.with_attempt(data.current.proposal.number, retracted=True))
    lacks = {
        s.OPEN: not data.contract_address and "a wallet",
        s.MERGED: not data.winner_login and "a winner",
        s.AWAITING_ADDRESS: not data.winner_login and "a winner",
        s.EXECUTED: data.current is None and "a payment",
        s.CONFIRMABLE: not data.confirm_hash and "the bot's approval",
        s.CONFIRMING: not data.payout_hash and "a maintainer's transaction",
        s.REVOKING: not (data.refund_to and data.contract_address) and "an address that the money goes back to",
    }.get(fact.to)
    if lacks:
        raise BadInput(f"{data.place.path} cannot be {fact.to}: it has not {lacks}.")
    return decision


def _commented(record: BountyRecord, fact: f.Commented, now: Millis) -> Choice:
    """Remember the comment, and since when everybody can read there what another hand is asked."""
    data = replace(record.data, comment_id=fact.comment, comment_print=fact.fingerprint)
    if fact.told == data.question and fact.told != data.told_about:
        data = replace(data, told_about=fact.told, told_at=now)
    return keep("commented", data=data, again_s=0)


def _asked(policy: BountyPolicy, record: BountyRecord, now: Millis) -> Choice:
    """Ask the winner in the comment, and tell reviewers: the forge may tell nobody that a comment was edited."""
    data = replace(record.data, asked_at=now)
    decision = assess(policy, record, data, "the winner has no address", "ask")
    return decision.but(messages=(_unanswered(record, data),)) if decision.trigger == "ask" else decision


def _reminded(record: BountyRecord) -> Choice:
    data = replace(record.data, reminders=record.data.reminders + 1)
    return keep("the winner is reminded", data=data, messages=(_unanswered(record, data),))


def _unanswered(record: BountyRecord, data: BountyData) -> Message:
    return Message(
        "notify",
        {
            "event": "winner_unanswered",
            "owner": record.owner,
            "bounty": data.place.path,
            "winner": data.winner_login,
            "times": str(data.reminders + 1),
        },
    )


def _waits(record: BountyRecord, waiting_for: str) -> Choice:
    if waiting_for == record.data.waiting_for:
        return wait()
    why = f"waits for {waiting_for}" if waiting_for else "goes on"
    return keep(why, data=replace(record.data, waiting_for=waiting_for))


def _trouble(record: BountyRecord, reason: str) -> Choice:
    """Tell a person, once, why it does not go on; the next look tries again."""
    if reason == record.data.trouble:
        return wait()
    return keep(reason, data=replace(record.data, trouble=reason), messages=(alarm(reason),))
