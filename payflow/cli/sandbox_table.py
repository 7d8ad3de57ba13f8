"""The sandbox's story in a terminal: a table that changes, or a line for each change where none can be drawn."""

import time

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from payflow.cli.words import clean, console, rows, table
from payflow.sandbox.stage import Line, Mark, Stage
from payflow.sandbox.world import World

_SIGNS = {
    Mark.GOES: ("…", "cyan"),
    Mark.WAITS: ("?", "bold yellow"),
    Mark.DONE: ("✓", "green"),
    Mark.BROKE: ("✗", "bold red"),
}


class Narrator:
    """Tells what the stage tells."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.live = console().is_terminal
        self._drawing: Live | None = None
        self._started = time.monotonic()
        stage.listeners.append(self._changed)
        if self.live:
            console().print("Payflow's sandbox starts…", style="dim")

    def begin(self, world: World) -> None:
        """Say where everything is, then tell."""
        console().print(_head(world, time.monotonic() - self._started))
        if self.live:
            self._drawing = Live(self._table(), console=console(), auto_refresh=False, transient=False)
            self._drawing.start()

    def end(self) -> None:
        """Stop telling."""
        if self._drawing is not None:
            self._drawing.stop()
            self._drawing = None

    def _changed(self, line: Line) -> None:
        if self._drawing is not None:
            self._drawing.update(self._table(), refresh=True)
        elif not self.live and line.state:
            console().print(
                f"{time.strftime('%H:%M:%S')}  {clean(line.story)}: {clean(line.state)}. {clean(line.happens)}"
            )

    def _table(self) -> RenderableType:
        drawn = table("", "story", "about", "where it is", "what happens")
        if not self._stage.lines:
            return Text("")
        return rows(drawn, (_row(line) for line in self._stage.lines.values()))


def _row(line: Line) -> list[str | Text]:
    sign, style = _SIGNS[line.mark]
    return [
        Text(sign, style),
        Text(clean(line.story), "bold"),
        line.about,
        Text(clean(line.state), style),
        line.happens,
    ]


def _head(world: World, took_s: float) -> Group:
    where = table("", "")
    lines = (
        ("dashboard", f"{world.payflow}/admin"),
        ("portal of a provider", f"{world.payflow}/portal"),
        ("bounties", f"{world.payflow}/bounties"),
        ("API", f"{world.payflow}/api/openapi.json"),
        ("simulated Flutterwave", f"{world.flutterwave}/_sandbox"),
        ("simulated GitHub", f"{world.github}/_sandbox"),
        ("chain", f"{world.rpc} ({world.chain})"),
        ("a pool's Redis", f"{world.pool_redis}, its configuration in {world.pool_config}"),
        ("mails", world.mails),
        *((name, address) for name, address in world.addresses.items()),
    )
    who = table("token of", "role", "")
    return Group(
        *(Text(f"! {clean(one)}", "yellow") for one in world.told),
        Text(f"Payflow runs with its world simulated, after {took_s:.1f} s.", "bold"),
        rows(where, lines),
        Text(""),
        rows(who, ((name, str(role), token) for name, (role, token) in world.people.items())),
        Text(""),
        Text(f"Tokens are in {world.tokens_file}. For commands in another terminal:"),
        Text(f"    set -a; . {world.settings_file}; set +a"),
        Text(f"Everything is kept in {world.data}; --fresh forgets it. Ctrl-C ends all of it."),
        Text(""),
    )
