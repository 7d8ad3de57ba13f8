"""Putting a false account right: the one correcting posting, proposed with a reason and confirmed by a second person.

An account, the journal and the records say the same of an owner's money. Where one of account and journal does not,
the other one, agreeing with itself and with the records, says what is right. Where both agree with themselves, a person
says which is believed; where neither does, no single posting is right, and somebody must find out what happened first.
"""

from typing import Literal

from machines.core.errors import BadInput, Conflict
from machines.core.ids import Owner
from payflow.desk.dual_control import Verb
from payflow.desk.person import Person
from payflow.store.ledger import Difference
from payflow.store.registers.proposals import Proposal
from payflow.store.store import Store

CORRECTION = "ledger correction"
Believed = Literal["journal", "account"]


def verb(store: Store) -> Verb:
    """Give what a second person confirms."""

    async def do(proposal: Proposal, second: Person) -> str:
        owner, asset = _place(proposal.subject)
        found = await store.ledger.difference(owner, asset)
        if found is None or plan(found, _believed(proposal.seen["believe"])) != proposal.seen:
            raise Conflict(f"The books of {owner} are not as they were when this was proposed: look again.")
        cause = f"corrected by {proposal.by} and {second.name}: {proposal.reason}"
        if not await store.ledger.correct(
            found, becomes=proposal.seen["becomes"], posting=proposal.seen["posting"], cause=cause
        ):
            raise Conflict(f"The account of {owner} moved a moment ago: look again, and propose it anew.")
        return f"Done: the books of {owner} agree in {asset}. `payflow resume owner:{owner}` lets their payouts go on."

    return Verb(CORRECTION, says, do)


def says(proposal: Proposal) -> list[str]:
    """Say what would be written."""
    owner, asset = _place(proposal.subject)
    seen = proposal.seen
    views = f"the account says {seen['account']}, the journal {seen['journal']}, the records hold {seen['holding']}"
    found = [f"{owner} in {asset} (available held paid funded owed): {views}."]
    if seen["posting"]:
        return [*found, f"The account is believed. The journal gets the posting that it lacks: {seen['posting']}."]
    return [*found, f"The journal is believed. The account becomes {seen['becomes']}."]


async def proposed(store: Store, owner: Owner, asset: str, believe: Believed | None) -> tuple[str, dict[str, str]]:
    """Work out the correction of an account: what it is about, and what a second person must find as it was."""
    if asset not in {one.code for one in store.records.assets}:
        raise BadInput(f"There is no asset {asset[:20]!r}.")
    found = await store.ledger.difference(owner, asset)
    if found is None:
        raise BadInput(f"The books of {owner} agree in {asset}: there is nothing to correct.")
    return f"{owner}/{asset}", plan(found, believe)


def plan(found: Difference, believe: Believed | None) -> dict[str, str]:
    """Say which figures or which posting would make the books agree."""
    believe = believe or _which(found)
    if not (found.journal_agrees if believe == "journal" else found.account_agrees):
        raise BadInput(
            f"The {believe} of {found.owner} disagrees with itself or with the records, so it cannot be believed: "
            f"{' '.join(found.said())}"
        )
    posting = found.missing_posting() if believe == "account" else ""
    if posting is None:
        raise BadInput(
            f"No single posting makes the journal of {found.owner} say what the account says: find out what happened "
            "first, with `payflow export` and the last backup."
        )
    right = found.journal if believe == "journal" else found.account
    if right.overdrawn:
        raise BadInput(
            f"{found.owner} would have less than nothing: {right}. What was asked for beyond what is theirs is still "
            "held: cancel it first, then correct what is left."
        )
    return {
        "believe": believe,
        "account": found.account.figures,
        "journal": found.journal.figures,
        "holding": str(found.holding),
        "becomes": right.figures,
        "posting": posting,
    }


def _which(found: Difference) -> Believed:
    if found.journal_agrees == found.account_agrees:
        both = "Both" if found.journal_agrees else "Neither"
        raise BadInput(
            f"{both} of account and journal of {found.owner} agree with themselves and with the records: "
            f"{' '.join(found.said())} Find out which is right, then add --believe account or --believe journal."
        )
    return "journal" if found.journal_agrees else "account"


def _believed(text: str) -> Believed:
    return "journal" if text == "journal" else "account"


def _place(subject: str) -> tuple[Owner, str]:
    owner, _, asset = subject.rpartition("/")
    return Owner(owner), asset
