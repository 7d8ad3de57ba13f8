"""What is wrong now, as the overview and the alerts say it."""

from collections.abc import Iterator

from rich.text import Text

from machines.core.clock import Millis
from payflow.app.installation import Payflow
from payflow.cli.terminal import LEVEL_STYLES, TIME, Code, Column, Commands, Format, Terminal, clean, grid, json_of
from payflow.desk.trouble import Trouble, troubles
from payflow.shown import span

command = Commands()

RECORD = (Column("id", None), Column("error", None))
TROUBLE = (
    Column("name", None),
    Column("level", None),
    Column("says", None),
    Column("since", None, form=TIME),
    Column("count", None),
    Column("sums", None),
    Column("records", None, form=Format(lambda found: [json_of(RECORD, one) for one in found], str)),
    Column("act", None),
    Column("runbook", None),
)


@command("payflow trouble")
async def trouble(terminal: Terminal, payflow: Payflow) -> Code:
    found, now = await troubles(payflow.store), await payflow.store.records.now()
    drawings = [drawing for one in found for drawing in _drawn(one, now)]
    said = drawings or [Text("Nothing is wrong.", "green")]
    terminal.tell([json_of(TROUBLE, one) for one in found], *said)
    return Code.REFUSED if found else Code.OK


def _drawn(one: Trouble, now: Millis) -> Iterator[object]:
    since = "" if one.since is None else f", for {span(max(0, now - one.since))}"
    yield Text.assemble((f"{one.level} {one.name}", LEVEL_STYLES[one.level]), f"{since}: {clean(one.says)}")
    lines = [("money", ", ".join(one.sums))] if one.sums else []
    lines += [(record.id, record.error) for record in one.records]
    yield grid([("   ", *line) for line in [*lines, ("do", one.act), ("runbook", one.runbook)]])
