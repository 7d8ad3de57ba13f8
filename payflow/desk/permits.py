"""Records and postings that are not signed as they are: they send nothing, until two people take them over.

That is what an older version left, or one that ran beside this one; or what somebody wrote beside Payflow. Which of the
two it is, people must say: what they take over is named by a hash of all of it, as it was seen.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from machines.core.errors import BadInput, Conflict
from machines.core.ids import parse_id
from machines.core.money import Money
from payflow.desk.dual_control import Verb
from payflow.desk.person import Person
from payflow.store.permits import UnsignedRecord
from payflow.store.registers.proposals import Proposal
from payflow.store.store import Store

__all__ = ["ADOPTION", "ALL", "Adoptable", "UnsignedRecord", "adoption_of", "unsigned", "verb"]

ADOPTION = "permit adopt"
ALL = "all"


@dataclass(frozen=True, slots=True)
class Adoptable:
    """What can be taken over, and what cannot."""

    sound: Sequence[UnsignedRecord]
    broken: Sequence[UnsignedRecord]
    """Those that are not what their own history says, or were signed with a key that is not ours."""
    postings: Mapping[int, list[str]]
    """By shard: what is wrong with the journal, though its figures may agree."""


async def unsigned(store: Store, subject: str = ALL) -> Adoptable:
    """List the records that are not signed, all or the one of an id."""
    sound: list[UnsignedRecord] = []
    broken: list[UnsignedRecord] = []
    async for one in store.permits.unsigned():
        if subject in (ALL, one.id):
            (broken if one.problem else sound).append(one)
    shards = range(store.records.shards) if subject == ALL else ()
    found = {shard: await store.ledger.forged_in(shard) for shard in shards}
    return Adoptable(sound, broken, {shard: said for shard, said in found.items() if said})


async def adoption_of(store: Store, subject: str) -> dict[str, str]:
    """Say what would be taken over, which a second person must find as it was."""
    found = await unsigned(store, subject)
    if not found.sound and not found.postings:
        broken = f"; {len(found.broken)} cannot be taken over, `payflow permit ls` says why" if found.broken else ""
        raise BadInput(f"There is nothing to take over{broken}.")
    return _seen(store, found)


def verb(store: Store) -> Verb:
    """Give what a second person confirms."""

    async def do(proposal: Proposal, _: Person) -> str:
        all_ = await unsigned(store, proposal.subject)
        found = all_.sound
        if _seen(store, all_) != proposal.seen:
            raise Conflict("What is not signed is not what it was when this was proposed: look again, propose it anew.")
        signed = sum([await store.permits.adopt(one) for one in found])
        for shard, said in all_.postings.items():
            if not await store.ledger.believe(shard, said):
                raise Conflict("The journal changed a moment ago: look again, and propose the rest anew.")
        left = f" {len(found) - signed} moved meanwhile: look again." if signed < len(found) else ""
        return f"Done: {signed} records are signed as they were seen, and may send.{left}"

    return Verb(ADOPTION, _says, do)


def _says(proposal: Proposal) -> list[str]:
    postings = proposal.seen["postings"]
    return [
        *([f"What is posted is believed as it is: {postings}"] if postings else []),
        f"{proposal.seen['records']} records are signed as they are, and may send: {proposal.seen['states']}.",
        f"Their amounts: {proposal.seen['amounts']}.",
        *([f"{proposal.seen['forged']} of them were changed after they had been signed."] if _forged(proposal) else []),
    ]


def _forged(proposal: Proposal) -> bool:
    return proposal.seen["forged"] != "0"


def _seen(store: Store, found: Adoptable) -> dict[str, str]:
    by_id = sorted(found.sound, key=lambda one: one.id)
    states = Counter(f"{parse_id(one.id)[0]} {one.state}" for one in by_id)
    sums: Counter[str] = Counter()
    for one in by_id:
        if one.body.asset:
            sums[one.body.asset] += int(one.body.units)
    amounts = [str(Money(units, store.records.assets[asset])) for asset, units in sorted(sums.items())]
    return {
        "records": str(len(by_id)),
        "states": ", ".join(f"{count} {state}" for state, count in sorted(states.items())),
        "amounts": ", ".join(amounts) or "none",
        "forged": str(sum(one.forged for one in by_id)),
        "postings": " ".join(one for _, said in sorted(found.postings.items()) for one in said),
        "hash": hashlib.sha256(b"".join(one.print for one in by_id)).hexdigest()[:32],
    }
