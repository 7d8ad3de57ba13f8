"""Simulating payouts."""

import sys
import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from payflow.cli.terminal import Code, Commands, Terminal, console, print_json
from payflow.simulation.play import RunSummary, play

command = Commands()


@command("payflow simulate --runs 20 --seed 1")
def simulate(
    terminal: Terminal,
    *,
    runs: Annotated[int, typer.Option(min=1, help="How many payouts to play, each with a seed of its own.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="The first seed: the same seed is the same run.")] = 1,
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many to play side by side.")] = 2,
    truthful: Annotated[bool, typer.Option("--truthful", help="Only gateways that say nothing untrue.")] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Tell each run as a story, and not only those that fail.")
    ] = False,
) -> Code:
    summary, began = RunSummary(), time.monotonic()
    for result in play(seed, runs, processes=processes, truthful=truthful, tell=trace):
        summary.add(result)
        if not terminal.as_json:
            for line in result.story:
                console().print(line)
            for fault in result.faults:
                console().print(Text(f"seed {result.seed}: {fault}", "red"))
            sys.stderr.write(f"\r{summary.runs} of {runs} runs, {summary.faulty} with faults")
        elif result.faults or trace:
            print_json(asdict(result))
    figures = summary.figures() | {"seconds": round(time.monotonic() - began, 1)}
    if not terminal.as_json:
        sys.stderr.write("\n")
    terminal.tell(figures, *(f"{name.replace('_', ' '):<18}{_shown(value)}" for name, value in figures.items()))
    return Code.REFUSED if summary.faulty else Code.OK


def _shown(value: object) -> str:
    shown = ", ".join(f"{each} {count}" for each, count in value.items()) if isinstance(value, dict) else value
    return str(shown or "-")
