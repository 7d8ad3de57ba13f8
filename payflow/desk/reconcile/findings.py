"""Findings: made once, listed, worked on, and ended by the one act that is proposed for each, through the desk."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from machines.core.clock import HOUR_S
from machines.core.decision import New
from machines.core.errors import BadInput, NotFound
from machines.core.facts import Fact
from machines.core.ids import RecordId, parse_id
from machines.core.money import Money
from machines.finding import facts as f
from machines.finding import lifecycle as s
from machines.finding.data import (
    MACHINE,
    Finding,
    FindingKind,
    FindingRecord,
    finding_id,
    finding_owner,
)
from payflow.desk.person import Person, because
from payflow.desk.records import tell
from payflow.shown import utc
from payflow.store.pauses import BOOKS
from payflow.store.store import Store
from payflow.store.stored import archived_stub
from payflow.telemetry.metrics import Metrics

WHO = "reconciler"
MOST_LISTED = 10_000
MOST_COUNTED = 1_000
BALANCES = (FindingKind.BALANCE_DIFFERS, FindingKind.STATEMENT_GAP)
"""What is about a wallet, and about nobody who is paid."""


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Which findings somebody asks for."""

    rail: str = ""
    kind: str = ""
    states: Collection[str] = (s.OPEN,)

    def __post_init__(self) -> None:
        if self.kind and self.kind not in {kind.value for kind in FindingKind}:
            known = ", ".join(kind.value for kind in FindingKind)
            raise BadInput(f"There is no kind {self.kind[:40]!r} of findings: it is one of {known}.")

    def fits(self, record: FindingRecord) -> bool:
        """Whether a finding is one of them."""
        return self.rail in ("", record.data.rail) and self.kind in ("", record.data.kind.value)


async def open_findings(store: Store) -> Mapping[tuple[str, str, str], int]:
    """Count what is open by rail, kind and severity, of the oldest thousand."""
    if MACHINE not in store.records.machines:
        return {}
    # What nobody has found yet counts as none: a figure that is born with its first one shows no rise.
    none_yet = [Finding(rail, kind, "", "") for rail in await store.statements.marks() for kind in FindingKind]
    counts = Counter({(one.rail, one.kind.value, one.severity.value): 0 for one in none_yet})
    for stored in await store.listing.in_state(MACHINE, s.OPEN, MOST_COUNTED):
        data: Finding = stored.record.data
        counts[data.rail, data.kind.value, data.severity.value] += 1
    return counts


def about(finding: Finding) -> str:
    """Name what a finding is about: a record, a line, or a wallet on a day."""
    asset, _, begins = finding.subject.rpartition(" ")
    if finding.kind in BALANCES and begins.isdecimal():
        return f"{asset.rpartition('/')[2]} on {utc(int(begins))[:10]}"
    return finding.record or finding.line or finding.subject


class Findings:
    """The differences between our books and those of the rails."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    # ── found ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def make(self, finding: Finding) -> FindingRecord:
        """Write a finding down, once however often it is found, and stop what a severe one concerns."""
        name = finding_id(finding, self._store.records.shards)
        known = {asset.code: asset for asset in self._store.records.assets}
        amount = Money(abs(finding.units), known[finding.asset]) if finding.asset in known else None
        new = New(name, MACHINE, finding_owner(finding.rail), amount, finding, due_in_s=HOUR_S)
        made = await self._store.records.create(new, WHO)
        if not made.fresh:
            try:
                await tell(self._store, self._metrics, name, f.Noticed(finding), WHO)
            except NotFound:
                return made.record  # it was over for long, and is archived
        record = await self.read(name)
        if record.state == s.OPEN and finding.scope and not record.data.stopped:
            why = f"{finding.kind}: {finding.says} ({name})"
            await self._store.pauses.pause(finding.scope, BOOKS, why, await self._store.records.now())
            record = await self._learn(name, f.Stopped(finding.scope), WHO)
        return record

    async def _learn(self, name: RecordId, fact: Fact, who: str) -> FindingRecord:
        return (await tell(self._store, self._metrics, name, fact, who)).after

    async def knows(self, finding: Finding) -> bool:
        """Whether a difference was found before, whatever became of it."""
        name = finding_id(finding, self._store.records.shards)
        try:
            await self._store.records.read(name)
        except NotFound:
            return await archived_stub(self._store.link, name) is not None
        return True

    # ── looked at ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def read(self, name: RecordId) -> FindingRecord:
        """Read a finding."""
        if parse_id(name)[0] != MACHINE:
            raise BadInput(f"{name} is no finding: `payflow finding ls` lists them.")
        return (await self._store.records.read(name)).record

    async def all(self, wanted: FindingFilter) -> list[FindingRecord]:
        """List findings, the oldest first."""
        found: list[FindingRecord] = []
        for state in wanted.states:
            stored = await self._store.listing.in_state(MACHINE, state, MOST_LISTED)
            found += [one.record for one in stored if wanted.fits(one.record)]
        return sorted(found, key=lambda record: (record.created_at, record.id))

    # ── worked on ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def take(self, name: RecordId, by: Person) -> FindingRecord:
        """Say who works on it."""
        await self.read(name)
        return await self._learn(name, f.TakenUp(by.name), by.name)

    async def waive(self, name: RecordId, reason: str, by: Person) -> FindingRecord:
        """Let a difference stay as it is."""
        await self.read(name)
        reason = because(reason, "Say why it may stay with --reason: it is written into the history.")
        async with self._store.audit.doing(by.name, "waive", name, reason):
            return await self.dismiss(name, reason, by.name)

    async def dismiss(self, name: RecordId, reason: str, who: str) -> FindingRecord:
        """Write down that somebody dealt with it by hand."""
        return await self._learn(name, f.Waived(who, reason), who)

    async def resolved(self, name: RecordId, did: str, who: str) -> FindingRecord:
        """Write down that what was proposed is done."""
        return await self._learn(name, f.Resolved(who, did), who)

    async def explained(self, name: RecordId, why: str, who: str) -> FindingRecord:
        """Write down that the difference has gone."""
        return await self._learn(name, f.Explained(why), who)
