"""The one act that is proposed for each finding: what it would do, and how it is done through what the desk can do.

Records are never written to: they learn what the rail says, as from any look. Only a posting to an owner's account is
made here, by two people, once for a finding; and what the rail itself did is booked, which takes two as well where much
of it is only what a file says, that one person brought.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from machines.core.clock import DAY, Millis
from machines.core.errors import BadInput, Conflict, NotPossible
from machines.core.ids import Owner, RecordId
from machines.core.money import Money
from machines.core.rail_share import FINE, RailPart
from machines.finding import lifecycle as s
from machines.finding.data import POOL, Finding, FindingKind, FindingRecord, ProposedAct
from payflow.desk.dual_control import Verb, both
from payflow.desk.person import Person, because
from payflow.desk.platforms import find_owner
from payflow.desk.reconcile.comparison import Word
from payflow.desk.reconcile.findings import BALANCES, Findings, about
from payflow.desk.reconcile.reconciler import Reconciler
from payflow.desk.requests import two_people_from
from payflow.store.registers.proposals import Proposal
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from payflow.desk.steering import Steering

POSTING = "finding posting"


@dataclass(frozen=True, slots=True)
class Repaired:
    """What came of an act."""

    record: FindingRecord
    said: str


class FindingRepairs:
    """Does what findings propose."""

    def __init__(self, store: Store, reconciler: Reconciler) -> None:
        self._store = store
        self._reconciler = reconciler
        self._findings = reconciler.findings

    async def finding(self, name: RecordId) -> FindingRecord:
        """Read what is about to be resolved."""
        return await self._findings.read(name)

    async def takes_two(self, record: FindingRecord) -> bool:
        """Whether one person is too few."""
        return await takes_two(self._store, record)

    async def preview(self, name: RecordId) -> list[str]:
        """Say what the proposed act would do; raises where there is nothing to do."""
        record = await self._findings.read(name)
        return says(record)

    async def do(self, name: RecordId, by: Person, reason: str = "", owner: str = "") -> Repaired:
        """Do what is proposed; what two people must do is proposed to the second one elsewhere."""
        record = await self._findings.read(name)
        says(record)
        finding = record.data
        if await takes_two(self._store, record):
            raise NotPossible(
                f"This takes two people: `payflow finding resolve {name} --reason WHY` puts it before the second."
            )
        async with self._store.audit.doing(by.name, finding.act.value, name, reason or finding.says):
            if finding.act is ProposedAct.BOOK:
                why = because(reason, "Say what it was with --reason: who moved it, or why the rail is right.")
                await _book(self._store, finding, why)
                return Repaired(await self._findings.resolved(name, f"booked: {why}", by.name), "It is booked.")
            await self._ask(finding, by, reason, owner)
            why = await self._reconciler.explained(finding)
            if not why:
                raise NotPossible(
                    "The rail was asked, and the two still differ. Ask again later; or settle it with the rail, and "
                    f"waive it: `payflow finding waive {name} --reason WHY`."
                )
            await self._uncharged(finding, why)
            return Repaired(await self._findings.resolved(name, why, by.name), f"Settled: {why}.")

    async def _uncharged(self, finding: Finding, why: str) -> None:
        """Take back on the rail's side the fee of what is on no line: nothing was charged for what was never paid."""
        name = RecordId(finding.record)
        if finding.kind is FindingKind.MISSING_THERE and not await self._store.statements.matched(finding.rail, name):
            fee = (await _posted(self._store, name)).get(RailPart.FEES, 0)
            if fee:
                book = self._store.ledger.book
                await book(finding.rail, finding.asset, RailPart.FEES, -fee, f"fee of {name}", why)

    async def _ask(self, finding: Finding, by: Person, reason: str, owner: str) -> None:
        rail = self._reconciler.rails.get(finding.rail)
        if rail is None:
            raise NotPossible(f"This Payflow reads no statement of {finding.rail}.")
        if finding.kind in BALANCES:
            # A gap is behind the span that its line names, whenever that was.
            since = Millis(int(finding.line or finding.at))
            await self._reconciler.read_again(finding.rail, since, Millis(finding.at))
            return
        since = Millis(max(0, finding.at - DAY))
        record = RecordId(finding.record)
        if finding.act is ProposedAct.ADOPT and not await rail.books.payments([record]):
            if not owner:
                raise BadInput(f"Our books have forgotten {record}: say whose it was with --owner NAME.")
            word = Word(by.name, because(reason), {record: await find_owner(self._store, owner)})
            left = await rail.repairs.adopt(finding.rail, record, since, word)
        else:
            left = await rail.repairs.ask(finding.rail, record, by.name)
        if left:
            raise NotPossible(f"{left[0].says} {left[0].advice}")
        if finding.rail.startswith(POOL):  # what was put right is in its list, where it is read in a moment
            await self._reconciler.compare(finding.rail, since)


async def resolve(
    repairs: FindingRepairs, steering: "Steering", name: RecordId, by: Person, reason: str = "", owner: str = ""
) -> str:
    """Do what is proposed, and say what came of it; what takes two people is put before the second one."""
    record = await repairs.finding(name)
    if await repairs.takes_two(record):
        await steering.propose_posting(name, because(reason), by)
        return f"{record.amount} is proposed: another operator confirms it."
    return (await repairs.do(name, by, reason, owner)).said


def says(record: FindingRecord) -> list[str]:
    """Say what the act of a finding would do."""
    finding = record.data
    if record.state != s.OPEN:
        raise NotPossible(f"{record.id} is {record.state}: nothing is left to do.")
    match finding.act:
        case ProposedAct.CORRECT:
            amount, out = _posting(record)
            way = f"is taken off what {finding.owner} has" if out else f"becomes available to {finding.owner}"
            does = f"{amount} {way}. Two people do that."
        case ProposedAct.BOOK:
            does = f"It is written down as what {finding.rail} did; no account of anybody who is paid changes."
        case ProposedAct.ADOPT:
            does = f"{about(finding)} learns what {finding.rail} did; what is forgotten is made again for its owner."
        case _:
            does = f"{finding.rail} is asked about {about(finding)} once more, and what it says is learned."
    return [f"{finding.kind}: {finding.says}", f"Proposed: {finding.act}. {does}"]


async def _book(store: Store, finding: Finding, why: str) -> None:
    """Post on the rail's side what came into its wallet, was taken out, or was charged; each line once."""
    part, reference = RailPart.FUNDED, finding.line
    if finding.kind is FindingKind.FEE_DIFFERS:  # its line pays what a record of ours has posted already
        part, reference = RailPart.FEES, f"fee of {finding.line}"
    elif finding.kind is not FindingKind.NOT_OURS:
        reference = f"{finding.kind} {finding.subject}"
    # In other currencies nobody keeps books here, nor of what is in a pool's own.
    if finding.rail.startswith(POOL) or finding.asset not in {asset.code for asset in store.records.assets}:
        return
    book, rail, asset = store.ledger.book, finding.rail, finding.asset
    if finding.fine:
        await book(rail, asset, part, finding.fine, reference, why)
    found = await store.statements.line(rail, finding.line) if reference == finding.line else None
    if found and found.line.fee:  # of what is nobody's of ours no record posts what it cost
        fee = found.line.fee * FINE + found.line.fee_rest
        await book(rail, asset, RailPart.FEES, fee, f"fee of {finding.line}", why)


# ── a posting, by two people ──────────────────────────────────────────────────────────────────────────────────────────


async def takes_two(store: Store, record: FindingRecord) -> bool:
    """Whether one person is too few: for what is posted to an owner, and for much that only a file says."""
    finding = record.data
    if finding.act is not ProposedAct.BOOK:
        return finding.act is ProposedAct.CORRECT
    bands = two_people_from(store.settings, store)
    line = await store.statements.line(finding.rail, finding.line)
    if bands is None or line is None or not line.source:
        return False
    return max(abs(finding.units), line.line.fee or 0) >= bands.get(finding.asset, 0)


def _posting(record: FindingRecord) -> tuple[Money, bool]:
    """Say how much is posted, and whether it is taken away."""
    finding = record.data
    if record.amount is None or not finding.owner or finding.act is not ProposedAct.CORRECT:
        raise NotPossible(f"For {record.id} nothing is posted: what is proposed is to {finding.act}.")
    return record.amount, finding.units < 0


async def posting_of(store: Store, metrics: Metrics, name: RecordId) -> Mapping[str, str]:
    """Work out the posting of a finding: what a second person must find as it was."""
    record = await Findings(store, metrics).read(name)
    if record.state != s.OPEN:
        raise NotPossible(f"{name} is {record.state}: nothing is left to do.")
    finding = record.data
    if finding.act is ProposedAct.BOOK:
        way = "booked"
    else:
        _, out = _posting(record)
        way = "taken" if out else "given"
    line = await store.statements.line(finding.rail, finding.line)
    if line is None or not store.records.trusts(await store.records.read(name)):
        raise NotPossible(
            f"{name}, or the line that it is about, is not what Payflow wrote: have the statement read anew with "
            "`payflow reconcile --since`, and look again. Nothing is posted."
        )
    return {
        "owner": finding.owner, "amount": str(record.amount), "way": way, "kind": finding.kind.value,
        "says": finding.says, "source": f"the file {line.source}" if line.source else finding.rail,
    }  # fmt: skip


def verb(store: Store, metrics: Metrics) -> Verb:
    """Give what a second person confirms."""

    async def do(proposal: Proposal, second: Person) -> str:
        name, who = RecordId(proposal.subject), both(proposal, second)
        if dict(await posting_of(store, metrics, name)) != dict(proposal.seen):
            raise Conflict(f"{name} is not what it was when this was proposed: look again.")
        findings = Findings(store, metrics)
        record = await findings.read(name)
        if record.data.act is ProposedAct.BOOK:
            async with store.audit.doing(who, POSTING, name, proposal.reason):
                await _book(store, record.data, proposal.reason)
                await findings.resolved(name, f"booked: {proposal.reason}", who)
            return f"Done: {record.amount} is booked, and {name} is resolved."
        amount, out = _posting(record)
        # Under the finding's own name: whoever dies behind it, or comes twice, posts it once.
        async with store.audit.doing(who, POSTING, name, proposal.reason):
            await store.records.fund(Owner(proposal.seen["owner"]), amount, f"{POSTING}/{name}", out=out)
            await _post_line(store, record.data, proposal.reason)
            await findings.resolved(name, f"{amount} posted: {proposal.reason}", who)
        return f"Done: {amount} is posted, and {name} is resolved."

    return Verb(POSTING, _says, do)


async def _post_line(store: Store, finding: Finding, why: str) -> None:
    """Post on the rail's side what a line did, as far as its record does not: what went elsewhere left as it says."""
    found = await store.statements.line(finding.rail, finding.line)
    if found is None or finding.kind is FindingKind.WRONG_DESTINATION or finding.rail.startswith(POOL):
        return
    line, posted = found.line, await _posted(store, RecordId(finding.record))
    charged = (line.fee or 0) * FINE + line.fee_rest
    moved = [(finding.asset, RailPart.FUNDED, finding.fine)]
    if finding.kind is FindingKind.TWICE:
        if posted.get(RailPart.TWICE):
            return  # its record has learned of it
        moved += [(finding.asset, RailPart.FEES, charged)]
    if finding.kind is FindingKind.WRONG_CURRENCY:
        other = line.amount.asset.code
        moved += [
            (finding.asset, RailPart.FEES, -posted.get(RailPart.FEES, 0)),
            (other, RailPart.FUNDED, -line.amount.units * FINE - line.rest),
            (other, RailPart.FEES, charged),
        ]
    known = {asset.code for asset in store.records.assets}
    for asset, part, fine in moved:
        if fine and asset in known:
            reference = f"{finding.kind} of {finding.line}: {part} {asset}"
            await store.ledger.book(finding.rail, asset, part, fine, reference, why)


async def _posted(store: Store, name: RecordId) -> Mapping[RailPart, int]:
    """Say what a record has in the accounts of its rail."""
    (stored,) = await store.records.readable([name]) or (None,)
    record = stored.record if stored else await store.archive.as_left(name)
    share = store.records.machines[record.machine].rail_share if record else None
    found = share(record) if record and share else None
    return found.parts if found else {}


def _says(proposal: Proposal) -> list[str]:
    seen = proposal.seen
    way = {
        "taken": f"is taken off what {seen['owner']} has",
        "given": f"becomes available to {seen['owner']}",
        "booked": "is written down as what the rail did; no account of anybody who is paid changes",
    }[seen["way"]]
    # One that was proposed before an upgrade names no source; it is not confirmed, but still shown.
    return [f"{seen['kind']}: {seen['says']}", f"{seen.get('source', '?')} says so.", f"{seen['amount']} {way}."]
