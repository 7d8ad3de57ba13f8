"""Reconciling: the only way to open rails that the sequence guard closed."""

from collections.abc import Iterable, Mapping
from typing import Annotated

import typer
from rich.text import Text

from machines.core.errors import BadInput
from machines.core.ids import Owner, owner_of
from payflow.app.installation import Payflow
from payflow.cli.tables import Column, clean, drawn, json_of
from payflow.cli.terminal import Code, Commands, Reason, Terminal, Yes, moment, typed
from payflow.desk.reconcile.comparison import Comparison, Word, compare, open_rails

command = Commands()

FINDING = (
    Column("about", "about", "subject"),
    Column("rail", "rail"),
    Column("found", "found", "says"),
    Column("to_do", None, "advice"),
    Column("", "to do", lambda one: Text(clean(one.advice), "bold red") if one.open else Text("settled", "green")),
    Column("open", None),
)


@command("payflow reconcile --since 2027-01-15T08:00")
async def reconcile(
    terminal: Terminal,
    payflow: Payflow,
    *,
    since: Annotated[str, typer.Option(metavar="TIME", help="From when on: 2027-01-15T08:00 in UTC, or 90m, 6h, 3d.")],
    owner: Annotated[
        list[str] | None, typer.Option(metavar="ID=NAME", help="Whose a payout was that the store has forgotten.")
    ] = None,
    dismiss: Annotated[
        list[str] | None, typer.Option(metavar="SUBJECT", help="A finding that you have dealt with by hand.")
    ] = None,
    reason: Reason = "",
    yes: Yes = False,
) -> Code:
    with typed():
        owners = _owners(owner or ())
    who = await terminal.acting(payflow)
    with typed():
        word = Word(who.name, reason, owners, frozenset(dismiss or ()))
    at = moment(since, await payflow.store.records.now())
    outcome = await compare(payflow.store, payflow.parts.reconciles, at, word)
    opens = outcome.clear and bool(outcome.closed)
    findings: list[object] = [drawn(FINDING, outcome.findings), ""] if outcome.findings else []
    if opens and not yes and not terminal.as_json:
        terminal.tell({}, *findings)
        findings = []
        terminal.confirm([f"Everything is accounted for. This opens {', '.join(outcome.closed)}."])
    if opens:
        await open_rails(payflow.store, outcome, word)
    answer = {
        "findings": [json_of(FINDING, one) for one in outcome.findings],
        "clear": outcome.clear,
        "closed": [] if opens else list(outcome.closed),
        "opened": list(outcome.closed) if opens else [],
    }
    terminal.tell(answer, *findings, _sentence(outcome))
    return Code.OK if outcome.clear else Code.REFUSED


def _owners(given: Iterable[str]) -> Mapping[str, Owner]:
    owners = {}
    for one in given:
        record_id, sign, name = one.partition("=")
        if not sign:
            raise BadInput(f"{one!r}: write --owner <id of the payout>=<name of its owner>.")
        owners[record_id] = owner_of(name)
    return owners


def _sentence(outcome: Comparison) -> Text:
    left = sum(finding.open for finding in outcome.findings)
    if left:
        return Text(f"{left} findings are left to settle; what is closed stays closed.", "bold red")
    if outcome.closed:
        return Text(f"Everything is accounted for. Open again: {', '.join(outcome.closed)}.", "green")
    return Text("Everything is accounted for. Nothing was closed.", "green")
