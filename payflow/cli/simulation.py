"""Simulating payouts."""

import sys
import time
from dataclasses import asdict

from payflow.cli.desk import Code, leaving, print_json
from payflow.cli.words import console
from payflow.simulation.play import RunSummary, play
from payflow.simulation.run import RunResult


def run(*, runs: int, seed: int, processes: int, truthful: bool, trace: bool, as_json: bool) -> Code:
    """Play, and say what came of it."""
    summary, began = RunSummary(), time.monotonic()
    with leaving():
        for result in play(seed, runs, processes=processes, truthful=truthful, tell=trace):
            summary.add(result)
            if not as_json:
                _tell(result)
                sys.stderr.write(f"\r{summary.runs} of {runs} runs, {summary.faulty} with faults")
            elif result.faults or trace:
                print_json(asdict(result))
    told = summary.told() | {"seconds": round(time.monotonic() - began, 1)}
    if as_json:
        print_json(told)
    else:
        sys.stderr.write("\n")
        for name, value in told.items():
            shown = ", ".join(f"{each} {count}" for each, count in value.items()) if isinstance(value, dict) else value
            console().print(f"{name.replace('_', ' '):<18}{shown or '-'}", highlight=False)
    return Code.REFUSED if summary.faulty else Code.OK


def _tell(result: RunResult) -> None:
    for line in result.story:
        console().print(line, highlight=False, markup=False)
    for fault in result.faults:
        console().print(f"seed {result.seed}: {fault}", style="red", highlight=False, markup=False)
