"""Reconciling: the only way to open rails that the sequence guard closed."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from rich.table import Table
from rich.text import Text

from machines.core.clock import SECOND, Millis
from machines.core.errors import BadInput
from machines.core.ids import Owner, owner_of
from payflow.app.installation import refuse_unfit
from payflow.cli.desk import Code, Desk, Usage, confirm, named, typed
from payflow.cli.words import rows, table
from payflow.desk.reconcile.comparison import Finding, Outcome, Word, compare, open_rails

_AGO = re.compile(r"([0-9]{1,4})(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


async def reconcile(
    desk: Desk,
    *,
    since: str,
    owners: Iterable[str],
    dismissed: Iterable[str],
    reason: str,
    yes: bool,
) -> Code:
    """Compare with the world, tell what was found, and open what the guard closed if nothing is left to settle."""
    with typed():
        whose = _owners(owners)
    async with desk.open() as payflow:
        who = await named(desk, payflow.store)
        with typed():
            word = Word(who, reason, whose, frozenset(dismissed))
        refuse_unfit(payflow.store)
        at = moment(since, await payflow.store.records.now())
        parts = payflow.parts.reconciles
        outcome = await compare(payflow.store, parts, at, word)
        opens = outcome.clear and bool(outcome.closed)
        if opens and not yes and not desk.as_json:
            desk.tell({}, *_shown(outcome))
            confirm(desk, [f"Everything is accounted for. This opens {', '.join(outcome.closed)}."])
        if opens:
            await open_rails(payflow.store, outcome, word)
        shown = [] if opens and not yes else _shown(outcome)
        desk.tell(_json(outcome, opened=opens), *shown, _sentence(outcome))
    return Code.OK if outcome.clear else Code.REFUSED


def moment(text: str, now: Millis) -> Millis:
    """Read a time: 2027-01-15T08:00 (UTC, unless it says otherwise), or how long ago, such as 90m, 6h or 3d."""
    ago = _AGO.fullmatch(text)
    if ago:
        return Millis(now - int(timedelta(**{_UNITS[ago[2]]: int(ago[1])}).total_seconds()) * SECOND)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"{text!r} is no time: write 2027-01-15T08:00, or 90m, 6h or 3d for that long ago.") from None
    return Millis(int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * SECOND))


def _owners(given: Iterable[str]) -> Mapping[str, Owner]:
    owners = {}
    for one in given:
        record_id, sign, name = one.partition("=")
        if not sign:
            raise BadInput(f"{one!r}: write --owner <id of the payout>=<name of its owner>.")
        owners[record_id] = owner_of(name)
    return owners


def _shown(outcome: Outcome) -> list[object]:
    return [_table(outcome.findings), ""] if outcome.findings else []


def _table(findings: Iterable[Finding]) -> Table:
    return rows(
        table("about", "rail", "found", "to do"),
        (
            (one.subject, one.rail, one.says, Text(one.advice, "bold red") if one.open else Text("settled", "green"))
            for one in findings
        ),
    )


def _sentence(outcome: Outcome) -> Text:
    left = sum(finding.open for finding in outcome.findings)
    if left:
        return Text(f"{left} findings are left to settle; what is closed stays closed.", "bold red")
    if outcome.closed:
        return Text(f"Everything is accounted for. Open again: {', '.join(outcome.closed)}.", "green")
    return Text("Everything is accounted for. Nothing was closed.", "green")


def _json(outcome: Outcome, *, opened: bool) -> dict[str, object]:
    return {
        "findings": [
            {"about": one.subject, "rail": one.rail, "found": one.says, "to_do": one.advice, "open": one.open}
            for one in outcome.findings
        ],
        "clear": outcome.clear,
        "closed": [] if opened else list(outcome.closed),
        "opened": list(outcome.closed) if opened else [],
    }
