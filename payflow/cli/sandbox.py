"""Running the sandbox, and its story in a terminal: a table that changes, or a line for each change."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from payflow.app import service
from payflow.cli.terminal import Column, Commands, Terminal, Usage, clean, console, drawn, grid, print_json
from payflow.sandbox.play import play
from payflow.sandbox.stage import Line, Stage, StageMark
from payflow.sandbox.world import ADDRESSES, SCENARIO_NAMES, Options, SandboxWorld

_SIGNS = {
    StageMark.GOES: ("…", "cyan"),
    StageMark.WAITS: ("?", "bold yellow"),
    StageMark.DONE: ("✓", "green"),
    StageMark.BROKE: ("✗", "bold red"),
}

command = Commands()

LINE = (
    Column("", "", lambda line: Text(*_SIGNS[line.mark])),
    Column("", "story", lambda line: Text(clean(line.story), "bold")),
    Column("", "about", "about"),
    Column("", "where it is", lambda line: Text(clean(line.state), _SIGNS[line.mark][1])),
    Column("", "what happens", "happens"),
)
WHO = (
    Column("", "token of", lambda one: one[0]),
    Column("", "role", lambda one: one[1][0]),
    Column("", "", lambda one: one[1][1]),
)


@command("payflow sandbox --fresh")
def sandbox(
    terminal: Terminal,
    *,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the API; 0 picks a free one.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what earlier sandboxes left.")] = False,
    scenario: Annotated[
        str,
        typer.Option(
            help="What is played: default, none, gateway-outage, fraud-spike, discrepancies; "
            "with anvil: reorg, stuck-nonce."
        ),
    ] = "default",
) -> None:
    stage = Stage()
    narrator = None if terminal.as_json else Narrator(stage)

    def announce(world: SandboxWorld) -> None:
        if narrator is None:
            print_json(shown(world))
        else:
            narrator.begin(world)

    if scenario not in SCENARIO_NAMES:
        raise Usage(f"There is no scenario {scenario!r}: {', '.join(SCENARIO_NAMES)}.")
    folder = terminal.settings.data / "sandbox"
    changes = {"data": folder} | ({} if port is None else {"port": port})
    with _log_to_file(folder, apart=narrator is not None and narrator.live):
        try:
            service.run(play(terminal.settings.model_copy(update=changes), Options(fresh, scenario), stage, announce))
        finally:
            if narrator is not None:
                narrator.end()


def shown(world: SandboxWorld) -> dict[str, object]:
    """Write where everything is, for machines."""
    tokens: dict[str, str] = {}
    for role, token in world.people.values():
        tokens.setdefault(role, token)
    return {
        "payflow": world.address,
        "admin": f"{world.address}/admin",
        "portal": f"{world.address}/portal",
        "bounties": f"{world.address}/bounties",
        "flutterwave": world.bank.url,
        "github": world.github.url,
        "mail": world.mails.url,
        "mails": world.read_mails,
        "pool": {"redis": world.pool.endpoint, "config": str(world.pool_config)},
        "chain": {"rpc": world.chain.url, "node": world.chain.kind, "addresses": ADDRESSES},
        "secrets": {"flutterwave": world.bank.keys.secret_hash, "github": world.github.secret},
        "tokens": tokens,
        "people": {name: {"role": role, "token": token} for name, (role, token) in world.people.items()},
        "sign_in": world.links,
        "tokens_file": str(world.tokens_file),
        "settings_file": str(world.settings_file),
        "data": str(world.folder),
        "scenario": world.options.scenario,
        "told": list(world.notices),
    }


@contextmanager
def _log_to_file(folder: Path, *, apart: bool) -> Iterator[None]:
    """Write the log into a file while a table is drawn: the two would tear each other up."""
    if not apart:
        yield
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    before = os.dup(2)
    log = os.open(folder.with_name(f"{folder.name}.log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 2)
    os.close(log)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)


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

    def begin(self, world: SandboxWorld) -> None:
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
        lines = self._stage.lines
        return drawn(LINE, lines.values()) if lines else Text("")


def _head(world: SandboxWorld, took_s: float) -> Group:
    where = {
        "dashboard": f"{world.address}/admin",
        "portal of a provider": f"{world.address}/portal",
        "bounties": f"{world.address}/bounties",
        "API": f"{world.address}/api/openapi.json",
        "simulated Flutterwave": f"{world.bank.url}/_sandbox",
        "simulated GitHub": f"{world.github.url}/_sandbox",
        "chain": f"{world.chain.url} ({world.chain.kind})",
        "a pool's Redis": f"{world.pool.endpoint}, its configuration in {world.pool_config}",
        "mails": world.read_mails,
        **ADDRESSES,
    }
    return Group(
        *(Text(f"! {clean(one)}", "yellow") for one in world.notices),
        Text(f"Payflow runs with its world simulated, after {took_s:.1f} s.", "bold"),
        "",
        grid(where),
        "",
        "Click to sign in; each link is good once, for a quarter of an hour (`payflow sign-in rita` makes another):",
        *(Text(f"{name:6}{link}", no_wrap=True, overflow="ignore") for name, link in world.links.items()),
        "",
        drawn(WHO, world.people.items()),
        "",
        f"Tokens are in {world.tokens_file}. For commands in another terminal:",
        f"    set -a; . {world.settings_file}; set +a",
        f"Everything is kept in {world.folder}; --fresh forgets it. Ctrl-C ends all of it.",
        "",
    )
