"""Writes machines/README.md from the tables themselves: `python -m tests.machines.readme`."""

import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

import machines
from machines.core.clock import SECOND
from machines.core.lifecycle import Lifecycle, State
from payflow.shown import span

PATH = Path(machines.__file__).with_name("README.md")

HEAD = """\
# The machines

This page is generated from the tables; `python -m tests.machines.readme` writes it anew, and a test compares the two.

Each machine is one folder, and the same few files in it:

| file | holds |
|---|---|
| `lifecycle.py` | the table: every state and every move, and nothing else decides |
| `facts.py` | what a record can learn, each fact naming the attempt that it speaks of |
| `react.py` | what a fact means: a pure function of record, fact and time |
| `acts.py` | what a look does: asks its ports, sends where it may, returns a fact |

Where a folder has more than one machine, the further ones have files of their own beside these: `react_lane.py`,
`acts_lane.py`, `react_repository.py`. `data.py` is what a record keeps; the rest are the machine's own rules.

`core/` is what they stand on. A machine does no I/O of its own and imports no framework: what it needs of the world are
the small protocols of `core/ports.py`.

How to read the tables: *money* is where the owner's money is while a record is in the state; *looked at* is how often a
worker looks when it learned nothing; *stuck after* is when somebody should ask why; **sends** marks the only states in
which something irreversible may leave, *may have left* those in which it may have.
"""


def lifecycles() -> Iterator[Lifecycle]:
    """Find the tables of all machines."""
    for module in sorted(pkgutil.iter_modules(machines.__path__), key=lambda one: one.name):
        if module.ispkg and module.name != "core":
            table = import_module(f"machines.{module.name}.lifecycle")
            yield from (each for each in vars(table).values() if isinstance(each, Lifecycle))


def written() -> str:
    """Write the page."""
    return "\n".join([HEAD, *(_section(lifecycle) for lifecycle in lifecycles())])


def _section(lifecycle: Lifecycle) -> str:
    states = (
        (f"`{state.name}`", state.means, state.position or "", _looked_at(state), _stuck(state), _marks(state))
        for state in lifecycle.states.values()
    )
    moves = (
        (move.trigger, ", ".join(f"`{source}`" for source in move.sources), f"`{move.target}`", move.cause)
        for move in lifecycle.moves
    )
    drawing = lifecycle.mermaid()
    return "\n".join(
        [
            f"## {lifecycle.machine}\n",
            f"It begins in `{lifecycle.initial}`. An operator's `override` leads from any state to any other.\n",
            f"```mermaid\n{drawing}\n```\n",
            _table("state", "means", "money", "looked at", "stuck after", "", rows=states),
            _table("move", "from", "to", "because", rows=moves),
        ]
    )


def _table(*columns: str, rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _looked_at(state: State) -> str:
    return f"every {span(state.every_s * SECOND)}" if state.every_s else f"by {state.by}"


def _stuck(state: State) -> str:
    return span(state.stuck_after_s * SECOND) if state.stuck_after_s else ""


def _marks(state: State) -> str:
    left = "**sends**" if state.sends else "may have left" if state.may_have_left else ""
    return ", ".join(mark for mark in (left, "final" if state.final else "") if mark)


if __name__ == "__main__":
    PATH.write_text(written(), "utf-8")
