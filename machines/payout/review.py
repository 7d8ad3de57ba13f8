"""What rules and reviewers say to a payout, and to another destination for a failed one."""

from dataclasses import replace

from machines.core.clock import Millis
from machines.core.decision import keep, move, wait
from machines.core.errors import BadInput
from machines.core.facts import Override, Proof, override
from machines.core.lifecycle import Position
from machines.core.ports import SealKind
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import (
    NO_ATTEMPT,
    Approval,
    Choice,
    PayoutData,
    PayoutRecord,
    ProposedDestination,
    Wish,
    news,
    review_needed,
    same_person,
    who_asked,
)
from machines.payout.reasons import NO_ACCOUNT, plain
from machines.payout.unpaid import GATEWAY, wanted_back

ANOTHER = "The other destination was not accepted; please name another one."

# ── asked for ────────────────────────────────────────────────────────────────────────────────────────────────────────


def assessed(record: PayoutRecord, fact: f.Assessed) -> Choice:
    if not record.data.waits_for_rules and (record.data.rules or not fact.seal):
        return wait()
    findings, needed, data = fact.findings, fact.approvals_needed, with_assessment(record.data, fact)
    record = replace(record, data=data)
    if record.state == s.FAILED:
        found = ", ".join(finding.code for finding in findings) or "nothing"
        return keep(f"the rules looked at where it is to go, and found {found}", data=data, again_s=0)
    if not findings and needed < 2:  # noqa: PLR2004  (an amount that asks for two people asks for people at all)
        return move("approve", "low risk", data=data, messages=news(record, "approved"), again_s=0)
    if data.is_row and not data.approvals_missing():
        return move("approve", f"approved with {data.file}", data=data, messages=news(record, "approved"), again_s=0)
    why = ", ".join(finding.code for finding in findings) or f"{needed} people must approve this amount"
    messages = (*news(record, "received"), review_needed(record, "; ".join(one.text for one in findings) or why))
    return keep(f"needs review: {why}", data=data, messages=messages)


def unpayable(record: PayoutRecord, reason: str, now: Millis) -> Choice:
    """Give the money back, or refuse the other destination; where there is none, a person was called already."""
    if record.state == s.REQUESTED:
        return wanted_back(record, Wish("reject", GATEWAY, reason, now), Proof.NONE)
    return correction_rejected(record, GATEWAY, reason) if record.data.correction else wait()


def with_assessment(data: PayoutData, fact: f.Assessed) -> PayoutData:
    """Keep what was found, and the seal over it; a yes to something else is none to this, nor is one without a seal."""
    as_before = (fact.findings, fact.approvals_needed) == (data.findings, data.approvals_needed)
    correction = data.correction and replace(data.correction, place=data.correction.place or fact.place)
    after = _enquired(data, fact.enquired)
    return replace(
        after,
        assessed=True,
        findings=fact.findings,
        approvals_needed=fact.approvals_needed,
        rules=fact.seal,
        ruled_place=fact.place,
        place=data.place if correction else data.place or fact.place,
        correction=correction,
        approvals=tuple(_still(one, after) for one in data.approvals if as_before and (one.seal or data.file)),
    )


def _still(one: Approval, after: PayoutData) -> Approval:
    """Let a yes to a file go on counting for a row of it, of which the bank has said since whose account it is."""
    as_file = after.file and not one.seal.startswith(SealKind.PERSON)
    return replace(one, fingerprint=after.fingerprint) if as_file else one


def _enquired(data: PayoutData, said: f.Enquired | None) -> PayoutData:
    """Keep what the gateway said: what arrives, and what a reviewer's yes is bound to, are fixed with it."""
    if said is None:
        return data
    return replace(
        data,
        holder=said.holder,
        name_score=said.name_score,
        own_score=said.own_score,
        fee_units=said.fee_units,
        send_units=said.send_units,
        fingerprint=said.fingerprint,
    )


def approved(record: PayoutRecord, fact: f.Approved, now: Millis) -> Choice:
    if record.state == s.FAILED:
        return _correction_approved(record, fact, now)
    data = _with_approval(record, fact, now)
    missing = data.people_needed - len(data.approvals)
    if missing > 0:
        return keep(f"{fact.by} said yes; {missing} more must", data=data)
    return move("approve", f"{fact.by} said yes", data=data, messages=news(record, "approved"), again_s=0)


def _with_approval(record: PayoutRecord, fact: f.Approved, now: Millis) -> PayoutData:
    """Add an approval to the earlier ones that still count, or refuse it."""
    data, proposal = record.data, record.data.proposal
    if any(same_person(fact.by, one) for one in who_asked(record)):
        raise BadInput(f"{fact.by} asked for {record.id} and cannot approve it: another person must.")
    if fact.fingerprint != proposal.fingerprint:
        raise BadInput(f"{record.id} changed since you looked at it: look at amount and destination again.")
    if data.waits_for_rules:
        raise BadInput(f"{record.id} is still being assessed: try again in a moment.")
    valid = tuple(approval for approval in data.approvals if approval.fingerprint == proposal.fingerprint)
    if any(same_person(approval.by, fact.by) for approval in valid):
        raise BadInput(f"{fact.by} approved {record.id} already: a second person must.")
    return replace(data, approvals=(*valid, Approval(fact.by, fact.at or now, fact.fingerprint, fact.seal)))


def lapsed(record: PayoutRecord, fact: f.ApprovalsLapsed) -> Choice:
    """Let it wait for others: what was found stands, and so does the yes of everybody else."""
    if not (record.data.current or NO_ATTEMPT).never_begun:
        return wait()
    left = tuple(one for one in record.data.approvals if one.by not in fact.by)
    data = record.data.at_rest(approvals=left, reason=fact.why)
    return move("doubt", fact.why, data=data, messages=(review_needed(record, fact.why),), unsent=True)


# ── another destination ──────────────────────────────────────────────────────────────────────────────────────────────


def corrected(record: PayoutRecord, fact: f.Corrected) -> Choice:
    """Keep the new destination apart until the rules saw it and reviewers said yes: till then nothing is sent."""
    why = f"{fact.by} names another destination: {fact.shown}"
    proposal = ProposedDestination(fact.by, fact.sealed, fact.shown, fact.fingerprint, fact.holder, fact.place)
    return keep(
        why,
        data=replace(record.data, correction=proposal, approvals=(), assessed=True),
        messages=(review_needed(record, why),),
        again_s=0,
    )


def _correction_approved(record: PayoutRecord, fact: f.Approved, now: Millis) -> Choice:
    data, proposal = _with_approval(record, fact, now), record.data.proposal
    missing = data.people_needed - len(data.approvals)
    if missing > 0:
        return keep(f"{fact.by} said yes to {proposal.shown}; {missing} more must", data=data)
    data = data.as_proposed.next_attempt(record.id, now)
    return move("retry", f"{fact.by} said yes to {data.shown}", data=data)


def correction_rejected(record: PayoutRecord, by: str, reason: str) -> Choice:
    said, code = (plain(NO_ACCOUNT).text, plain(NO_ACCOUNT).code) if by == GATEWAY else (reason, "")
    return keep(
        f"{by} says no to the other destination: {reason}",
        data=replace(record.data, correction=None, approvals=()),
        again_s=0,
        messages=news(record, "failed", reason=said, reason_code=code, next=ANOTHER),
    )


# ── put there by a person ────────────────────────────────────────────────────────────────────────────────────────────


def overridden(record: PayoutRecord, fact: Override, now: Millis) -> Choice:
    """Do what the person says, and leave the record fit for the state that it comes into."""
    target = s.LIFECYCLE.state(fact.to)
    data = _with_second(record, fact, now).at_rest(correction=None, wish=None)
    missing = data.approvals_missing()
    decision = override(s.LIFECYCLE, record, fact, approved=not missing)
    if target.cleared and missing:
        raise BadInput(
            f"{record.id} asks for the yes of {missing} more before anything is sent, whatever state it is put into: "
            "reviewers who did not ask for it give it with `payflow payout approve`, or on the dashboard."
        )
    if fact.to in {s.APPROVED, s.PROCESSING} and data.waits_for_rules:
        raise BadInput(
            f"The rules have not looked at {record.id} as it is: put it into REQUESTED, where they do at once, and let "
            "reviewers approve it there."
        )
    given_back = target.position is Position.AVAILABLE
    # What has failed can be brought back to life in the gateway's dashboard, so that it says nothing by itself.
    if given_back and data.attempts and not fact.second.strip() and fact.proof is not Proof.NOT_PAID:
        raise BadInput(
            f"{record.id} may have been sent before it came into {record.state}, and be paid by now. "
            "Let a second person confirm, or bring proof from the rail."
        )
    if fact.to == s.REQUESTED:
        data = replace(data, approvals=())
    elif fact.to == s.PROCESSING:
        data = data.next_attempt(record.id, now)
    elif fact.to == s.UNCONFIRMED:
        if data.current is None:
            raise BadInput(f"Nothing of {record.id} was ever sent: there is nothing to look for.")
        data = replace(data, unseen_since=now, unknown_since=now)
    # What the rail proved, it proved of what had left by then.
    return decision.but(data=data, unsent=given_back and fact.proof is Proof.NOT_PAID and record.state == s.PROCESSING)


def _with_second(record: PayoutRecord, fact: Override, now: Millis) -> PayoutData:
    """Count the second person's word as an approval, where they may approve; who asked for the money is nobody here."""
    # What waits as a correction is forgotten.
    data, second = replace(record.data, correction=None), fact.second.strip()
    if not second:
        return data
    if any(same_person(second, one) for one in who_asked(replace(record, data=data))):
        raise BadInput(f"{second} asked for {record.id}, and cannot be the second person: another one must.")
    if not fact.second_approves:
        return data
    approval = Approval(second, fact.at or now, data.fingerprint, fact.seal)
    return replace(data, approvals=(*data.approvals, approval))
