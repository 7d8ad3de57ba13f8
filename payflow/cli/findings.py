"""Findings: where our books and what a rail says differ; who works on it, and the one act that is proposed for each."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from machines.core.clock import Millis
from machines.core.errors import PayflowError
from machines.finding import lifecycle as s
from machines.finding.data import FindingRecord, Severity
from payflow.app.installation import Payflow
from payflow.cli.steering import steering_of, who_confirms
from payflow.cli.terminal import (
    MONEY,
    Code,
    Column,
    Commands,
    Reason,
    RecordName,
    Terminal,
    Usage,
    Yes,
    ago,
    because,
    clean,
    drawn,
    grid,
    json_of,
    record_of,
    typed,
)
from payflow.desk.person import Person
from payflow.desk.reconcile.findings import FindingFilter, about
from payflow.desk.reconcile.lineage import lineage_of
from payflow.shown import amount, utc

if TYPE_CHECKING:
    from payflow.desk.reconcile.reconciler import Reconciler

command = Commands()

Rail = Annotated[str, typer.Option(metavar="NAME", help="Only those of one rail.")]
Kind = Annotated[str, typer.Option(metavar="KIND", help="Only those of one kind, such as 'missing there'.")]
Name = Annotated[str, typer.Argument(metavar="[ID]", help="One finding; without it, all of --kind or --rail.")]


def _columns(now: Millis) -> tuple[Column, ...]:
    return (
        Column("finding", "finding", "id"),
        Column("state", None),
        Column("rail", "rail", "data.rail"),
        Column("kind", "kind", lambda one: one.data.kind.value),
        Column("severity", None, lambda one: one.data.severity.value),
        Column("amount", "sum>", form=MONEY),
        Column("since", "for", "created_at", ago(now)),
        Column("record", "about", lambda one: about(one.data)),
        Column("says", None, "data.says"),
        Column("", "found", _said),
        Column("proposed", "proposed", lambda one: one.data.act.value),
        Column("taken_by", "who", "data.taken_by"),
    )


def _said(one: FindingRecord) -> Text | str:
    severe = one.data.severity is Severity.SEVERE and one.state == s.OPEN
    return Text(clean(one.data.says), "bold red") if severe else one.data.says


@command("payflow finding ls --kind 'missing there'")
async def ls(
    terminal: Terminal,
    payflow: Payflow,
    *,
    rail: Rail = "",
    kind: Kind = "",
    everything: Annotated[bool, typer.Option("--all", help="Also what is over.")] = False,
) -> Code:
    """List what differs, the oldest first; severe ones, which stop what they concern, in red."""
    with typed():
        wanted = FindingFilter(rail, kind, tuple(s.LIFECYCLE.states) if everything else (s.OPEN,))
    found = await _reconciler(payflow).findings.all(wanted)
    columns = _columns(await payflow.store.records.now())
    terminal.tell_list(columns, found, "Nothing differs.")
    return Code.REFUSED if any(one.state == s.OPEN for one in found) else Code.OK


@command("payflow finding show finding-03-abcdefgh23456777")
async def show(terminal: Terminal, payflow: Payflow, finding_id: RecordName) -> None:
    """Show one: the line of the statement, the record, its postings, what is proposed, and who did what."""
    reconciler = _reconciler(payflow)
    record = await reconciler.findings.read(record_of(payflow, finding_id))
    found = await lineage_of(payflow.store, record)
    columns = _columns(await payflow.store.records.now())
    finding, proposed = record.data, [record.data.advice] if record.state == s.OPEN else []
    lines = {
        "Difference": f"{finding.kind}: {finding.says}",
        "Sum": amount(record.amount) or "none",
        "State": f"{record.state} since {utc(record.since)}"
        + (f", {finding.taken_by} works on it" * bool(finding.taken_by)),
        "Proposed": " ".join([f"{finding.act}.", *proposed]),
        "Stopped": finding.stopped or "nothing",
        "Line": found.line or "none",
        "Record": found.record or "none",
        **{f"Posting {number}": said for number, said in enumerate(found.postings, 1)},
        **{f"Event {number}": said for number, said in enumerate(found.events, 1)},
    }
    answer = json_of(columns, record) | {
        "advice": finding.advice, "stopped": finding.stopped, "line": found.line, "about": found.record,
        "postings": list(found.postings), "events": list(found.events),
    }  # fmt: skip
    terminal.tell(answer, grid(lines))


@command("payflow finding take finding-03-abcdefgh23456777")
async def take(terminal: Terminal, payflow: Payflow, finding_id: RecordName) -> None:
    """Say that you work on it."""
    who = await terminal.acting(payflow)
    record = await _reconciler(payflow).findings.take(record_of(payflow, finding_id), who)
    terminal.tell({"finding": record.id, "taken_by": record.data.taken_by}, f"{record.data.taken_by} works on it.")


@command("payflow finding resolve finding-03-abcdefgh23456777")
async def resolve(
    terminal: Terminal,
    payflow: Payflow,
    finding_id: Name = "",
    *,
    rail: Rail = "",
    kind: Kind = "",
    owner: Annotated[str, typer.Option(metavar="NAME", help="Whose a forgotten record was.")] = "",
    reason: Reason = "",
    yes: Yes = False,
) -> Code:
    """Do what is proposed, after showing it; what takes two people is put before the second one."""
    from payflow.desk.reconcile.repairs import FindingRepairs, says, takes_two  # noqa: PLC0415  (half the desk)

    who, reconciler = await terminal.acting(payflow), _reconciler(payflow)
    chosen = await _chosen(payflow, finding_id, rail, kind)
    if not yes:
        terminal.confirm([line for one in chosen for line in (f"{one.id} ({amount(one.amount)})", *says(one))])
    repairs = FindingRepairs(payflow.store, reconciler)

    async def one_of(record: FindingRecord) -> str:
        if await takes_two(payflow.store, record):
            return await _proposed(payflow, record, reason, who)
        return (await repairs.do(record.id, who, reason, owner)).said

    results = []
    for record in chosen:
        try:
            results.append((record.id, True, await one_of(record)))
        except PayflowError as error:
            results.append((record.id, False, str(error)))
    return _answered(terminal, results)


async def _proposed(payflow: Payflow, record: FindingRecord, reason: str, who: Person) -> str:
    proposal = await steering_of(payflow).propose_posting(record.id, because(reason), who)
    return " ".join(("Nothing has changed yet.", *who_confirms(proposal)))


def _answered(terminal: Terminal, results: Sequence[tuple[str, bool, str]]) -> Code:
    terminal.tell(
        [{"finding": name, "done": done, "said": said} for name, done, said in results],
        *(Text(clean(f"{name}: {said}"), "green" if done else "bold red") for name, done, said in results),
    )
    return Code.OK if all(done for _, done, _ in results) else Code.REFUSED


@command('payflow finding waive finding-03-abcdefgh23456777 --reason "settled with the bank, letter of 3 March"')
async def waive(
    terminal: Terminal, payflow: Payflow, finding_id: Name = "", *, rail: Rail = "", kind: Kind = "",
    reason: Reason = "", yes: Yes = False,
) -> Code:  # fmt: skip
    """Let a difference stay, and say why; nothing is posted, and no record changes."""
    because(reason)
    who, findings = await terminal.acting(payflow), _reconciler(payflow).findings
    chosen = await _chosen(payflow, finding_id, rail, kind)
    if not yes:
        terminal.confirm([f"{one.id}: {one.data.kind}, {amount(one.amount)}: it stays as it is." for one in chosen])
    for one in chosen:
        await findings.waive(one.id, reason, who)
    return _answered(terminal, [(one.id, True, f"It stays: {reason}") for one in chosen])


@command("payflow finding match finding-03-abcdefgh23456777 payout-03-abcdefgh23456777")
async def match(
    terminal: Terminal,
    payflow: Payflow,
    finding_id: RecordName,
    record: Annotated[str, typer.Argument(metavar="RECORD", help="The record that its line is about.")],
) -> None:
    """Say which record the line of a finding is about; the finding goes if the two say the same."""
    who, reconciler = await terminal.acting(payflow), _reconciler(payflow)
    name, about = record_of(payflow, finding_id), record_of(payflow, record)
    after = await reconciler.match_by_hand(name, about, who)
    terminal.tell({"finding": name, "record": about, "state": after.state}, f"Matched; the finding is {after.state}.")


@command("payflow finding import may.csv --rail paystack --columns at=Date,amount=Amount,reference=Narration", "import")
async def import_(
    terminal: Terminal,
    payflow: Payflow,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As the bank gave it.")],
    *,
    rail: Annotated[str, typer.Option(metavar="NAME", help="Whose statement it is.")],
    columns: Annotated[
        str, typer.Option(metavar="MAP", help="Which column of a table is what; it is kept for the next file.")
    ] = "",
    currency: Annotated[str, typer.Option(metavar="CODE", help="Of a table that names none.")] = "NGN",
    yes: Yes = False,
) -> Code:
    """Take in a statement that comes as a file: camt.053, or a table (CSV); each line counts once."""
    from payflow.desk.reconcile import files  # noqa: PLC0415  (few statements come as files)

    who, reconciler = await terminal.acting(payflow), _reconciler(payflow)
    with typed():
        read = await files.read_statement(payflow.store, reconciler, rail, file, columns, currency)
    if not yes:
        terminal.confirm(read.says())
    turn = await files.take_in_statement(payflow.store, reconciler, rail, read, columns, who)
    found = [one for one in turn.found if one.state == s.OPEN]
    shown = _columns(await payflow.store.records.now())
    terminal.tell(
        {"rail": rail, "lines": len(read.lines), "new": turn.lines, "findings": [json_of(shown, one) for one in found]},
        *([drawn(shown, found)] if found else []),
        f"{turn.lines:,} new lines were taken in; {len(found)} differ from our books.",
    )
    return Code.REFUSED if found else Code.OK


async def _chosen(payflow: Payflow, finding_id: str, rail: str, kind: str) -> list[FindingRecord]:
    if bool(finding_id) == bool(rail or kind):
        raise Usage("Name one finding, or all of --kind or --rail.")
    findings = _reconciler(payflow).findings
    if finding_id:
        return [await findings.read(record_of(payflow, finding_id))]
    with typed():
        found = await findings.all(FindingFilter(rail, kind))
    if not found:
        raise Usage("No open finding is one of these: `payflow finding ls` lists what there is.")
    return found


def _reconciler(payflow: Payflow) -> "Reconciler":
    if payflow.parts.reconciler is None:
        raise Usage("This Payflow compares itself with no rail.")
    return payflow.parts.reconciler
