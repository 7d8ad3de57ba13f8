"""Records, postings and rows that are not signed as they are, or not sealed: nothing leaves till two people adopt them.

That is what an older version left, or one that ran beside this one; or what somebody wrote beside Payflow. Which of the
two it is, people must say: what they take over is named by a hash of all of it, as it was seen.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from machines.core.errors import BadInput, Conflict, NotPossible
from machines.core.ids import parse_id
from machines.core.money import Money
from payflow.desk.dual_control import Verb
from payflow.desk.person import Person
from payflow.desk.reseal import anew
from payflow.store.link import paged
from payflow.store.permits import UnsignedRecord
from payflow.store.registers.proposals import Proposal
from payflow.store.store import Store
from payflow.store.stored import Stored

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
    unsealed: Sequence[Stored]
    """Those that were approved, as they say, and nobody put a seal on it."""
    rows: Sequence[str]
    """Rows beside the records that are not what Payflow wrote last; what people may do, where somebody is paid."""


async def unsigned(store: Store, subject: str = ALL) -> Adoptable:
    """List the records that are not signed, all or the one of an id."""
    sound: list[UnsignedRecord] = []
    broken: list[UnsignedRecord] = []
    async for one in store.permits.unsigned():
        if subject in (ALL, one.id):
            (broken if one.problem else sound).append(one)
    unsealed = [one async for one in _unsealed(store) if subject in (ALL, one.record.id)]
    shards = range(store.records.shards) if subject == ALL else ()
    found = {shard: await store.ledger.forged_in(shard) for shard in shards}
    rows = sorted({place async for place in store.rows.faults()}) if subject == ALL else []
    return Adoptable(sound, broken, {shard: said for shard, said in found.items() if said}, unsealed, rows)


async def _unsealed(store: Store) -> AsyncIterator[Stored]:
    if not store.permit_keys.asks:
        return
    async for page in paged(store.records.ids()):
        for stored in await store.records.readable(page):
            adoption = store.records.machines[stored.record.machine].adoption
            if adoption is not None and adoption.waits(stored.record):
                yield stored


async def adoption_of(store: Store, subject: str) -> dict[str, str]:
    """Say what would be taken over, which a second person must find as it was."""
    found = await unsigned(store, subject)
    if not found.sound and not found.postings and not found.unsealed and not found.rows:
        broken = f"; {len(found.broken)} cannot be taken over, `payflow permit ls` says why" if found.broken else ""
        raise BadInput(f"There is nothing to take over{broken}.")
    return _seen(store, found)


def verb(store: Store) -> Verb:
    """Give what a second person confirms."""

    def refuse(_: Proposal) -> None:
        if not store.permit_keys.makes_permits:
            raise NotPossible(
                "This process has no PAYFLOW_PERMIT_KEYS, which only workers have: confirm it with `payflow confirm`, "
                "where those are set."
            )

    async def do(proposal: Proposal, second: Person) -> str:
        all_ = await unsigned(store, proposal.subject)
        found = all_.sound
        if _seen(store, all_) != proposal.seen:
            raise Conflict("What is not signed is not what it was when this was proposed: look again, propose it anew.")
        signed = sum([await store.permits.adopt(one) for one in found])
        for shard, said in all_.postings.items():
            if not await store.ledger.believe(shard, said):
                raise Conflict("The journal changed a moment ago: look again, and propose the rest anew.")
        if all_.rows:
            await store.rows.believe(await store.records.now())
        who = f"{proposal.by} and {second.name}"
        sealed = sum([await _seal(store, one, who, proposal.reason) for one in all_.unsealed])
        left = len(found) - signed + len(all_.unsealed) - sealed
        more = f" {left} moved meanwhile: look again." if left else ""
        rows = f" {len(all_.rows)} rows are believed as they were seen." if all_.rows else ""
        return f"Done: {signed} records are signed as they were seen, and {sealed} sealed: they may send.{rows}{more}"

    return Verb(ADOPTION, _says, do, refuse)


async def _seal(store: Store, seen: Stored, who: str, why: str) -> bool:
    """Seal what a record says that was approved; False where it has moved since it was seen."""
    record_id, version = seen.record.id, seen.record.version
    stored = await store.records.read(record_id)
    machine = store.records.machines[stored.record.machine]
    if stored.record.version != version or machine.adoption is None:
        return False
    data = machine.reseal(stored.record.data, anew(store.seals, record_id)) if machine.reseal else stored.record.data
    named = replace(stored.record, data=data)
    sealed = machine.adoption.sealed(named, store.permit_keys, who, await store.records.now())
    try:
        await store.records.take_over(stored, sealed, who, f"taken over as it was approved before: {why}")
    except Conflict:
        return False
    return True


def _says(proposal: Proposal) -> list[str]:
    seen, bare = proposal.seen, int(proposal.seen.get("unsealed", 0))
    rows = seen.get("rows", "")
    return [
        *([f"What is posted is believed as it is: {seen['postings']}"] if seen["postings"] else []),
        *([f"These rows are believed as they are, where their signature is ours: {rows}"] if rows else []),
        f"{seen['records']} records are signed as they are, and may send: {seen['states']}.",
        *([f"{bare} of them say that they were approved, with nobody's seal: it is believed."] if bare else []),
        f"Their amounts: {seen['amounts']}.",
        *([f"{seen['forged']} of them were changed after they had been signed."] if _forged(proposal) else []),
    ]


def _forged(proposal: Proposal) -> bool:
    return proposal.seen["forged"] != "0"


def _seen(store: Store, found: Adoptable) -> dict[str, str]:
    by_id = sorted(found.sound, key=lambda one: one.id)
    unsealed = sorted(found.unsealed, key=lambda one: one.record.id)
    bodies = {one.id: (one.state, one.body) for one in by_id}
    bodies |= {one.record.id: (one.record.state, one.body) for one in unsealed}
    states = Counter(f"{parse_id(record_id)[0]} {state}" for record_id, (state, _) in bodies.items())
    sums: Counter[str] = Counter()
    for _, body in bodies.values():
        if body.asset:
            sums[body.asset] += int(body.units)
    prints = [one.print for one in by_id]
    prints += [f"{one.record.id} {one.record.version} ".encode() + one.chain for one in unsealed]
    amounts = [str(Money(units, store.records.assets[asset])) for asset, units in sorted(sums.items())]
    return {
        "records": str(len(bodies)),
        "unsealed": str(len(unsealed)),
        "states": ", ".join(f"{count} {state}" for state, count in sorted(states.items())),
        "amounts": ", ".join(amounts) or "none",
        "forged": str(sum(one.forged for one in by_id)),
        "postings": " ".join(one for _, said in sorted(found.postings.items()) for one in said),
        "rows": ", ".join(found.rows),
        "hash": hashlib.sha256(b"".join(prints)).hexdigest()[:32],
    }
