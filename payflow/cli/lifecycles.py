"""A machine's lifecycle, as a table or as a diagram."""

from typing import Annotated

import typer
from rich.text import Text

from machines.core.clock import SECOND
from machines.core.lifecycle import Lifecycle, State
from payflow.app.installation import lifecycles
from payflow.cli.tables import Column, Format, as_it_is, drawn, json_of
from payflow.cli.terminal import Commands, Terminal, known
from payflow.shown import span

command = Commands()

LASTS = Format(as_it_is, lambda seconds: "" if seconds is None else span(seconds * SECOND))
MOVES = (
    Column("trigger", "move"),
    Column("from", "from", "sources", Format(list, ", ".join)),
    Column("to", "to", "target"),
    Column("cause", "because"),
)


@command("payflow lifecycle payout --mermaid")
def lifecycle(
    terminal: Terminal,
    machine: Annotated[str, typer.Argument(help="Which machine.")],
    *,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Draw it as a mermaid diagram.")] = False,
) -> None:
    tables = lifecycles()
    shown = tables[known("machine", machine, tables)]
    if mermaid and not terminal.as_json:
        typer.echo(shown.mermaid())
        return
    states, columns = shown.states.values(), _states(shown)
    terminal.tell(
        {
            "machine": shown.machine,
            "initial": shown.initial,
            "states": [json_of(columns, one) for one in states],
            "moves": [json_of(MOVES, one) for one in shown.moves],
            "mermaid": shown.mermaid(),
        },
        drawn(columns, states),
        "",
        drawn(MOVES, shown.moves),
    )


def _states(shown: Lifecycle) -> tuple[Column, ...]:
    return (
        Column(
            "name", "state", form=Format(as_it_is, lambda name: Text(name, "bold" if name == shown.initial else ""))
        ),
        Column("position", "money"),
        Column("by", None),
        Column("", "moved on by", _by),
        Column("every_s", "looks every", form=LASTS),
        Column("stuck_after_s", "stuck after", form=LASTS),
        Column("means", "means"),
        Column("sends", None),
        Column("may_have_left", None),
        Column("final", None),
    )


def _by(state: State) -> str:
    return "final" if state.final else f"{state.by}, which sends" if state.sends else state.by
