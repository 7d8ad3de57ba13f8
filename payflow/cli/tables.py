"""A machine's lifecycle, as a table or as a diagram."""

import typer
from rich.table import Table
from rich.text import Text

from machines.core.clock import SECOND
from machines.core.lifecycle import Lifecycle, State
from payflow.app.installation import lifecycles
from payflow.cli.desk import Code, Desk, Usage, listed
from payflow.cli.words import rows, table
from payflow.shown import span


async def lifecycle(desk: Desk, *, machine: str, mermaid: bool) -> Code:
    """Show what the records of a machine can be and do."""
    known = lifecycles()
    if machine not in known:
        raise Usage(f"There is no machine {machine!r}; {listed(known)}.")
    shown = known[machine]
    if mermaid and not desk.as_json:
        typer.echo(shown.mermaid())
    else:
        desk.tell(_json(shown), _states(shown), "", _moves(shown))
    return Code.OK


def _json(shown: Lifecycle) -> dict[str, object]:
    return {
        "machine": shown.machine,
        "initial": shown.initial,
        "states": [
            {
                "name": state.name,
                "means": state.means,
                "by": state.by,
                "position": state.position,
                "every_s": state.every_s,
                "stuck_after_s": state.stuck_after_s,
                "sends": state.sends,
                "may_have_left": state.may_have_left,
                "final": state.final,
            }
            for state in shown.states.values()
        ],
        "moves": [
            {"trigger": move.trigger, "from": list(move.sources), "to": move.target, "cause": move.cause}
            for move in shown.moves
        ],
        "mermaid": shown.mermaid(),
    }


def _states(shown: Lifecycle) -> Table:
    return rows(
        table("state", "money", "moved on by", "looks every", "stuck after", "means"),
        (
            (
                Text(state.name, "bold" if state.name == shown.initial else ""),
                state.position or "",
                _by(state),
                _span(state.every_s),
                _span(state.stuck_after_s),
                state.means,
            )
            for state in shown.states.values()
        ),
    )


def _by(state: State) -> str:
    return "final" if state.final else f"{state.by}, which sends" if state.sends else state.by


def _span(seconds: int | None) -> str:
    return "" if seconds is None else span(seconds * SECOND)


def _moves(shown: Lifecycle) -> Table:
    return rows(
        table("move", "from", "to", "because"),
        ((move.trigger, ", ".join(move.sources), move.target, move.cause) for move in shown.moves),
    )
