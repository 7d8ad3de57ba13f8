"""A taste of the long run: `python -m tests.chains.kills --runs 200` plays as many as you have time for."""

import asyncio
import os
from pathlib import Path

from tests.chains.kills import play

RUNS = int(os.environ.get("KILL_RUNS", "4"))
FIRST = int(os.environ.get("KILL_SEED", "1"))


def test_no_payment_of_a_lane_is_made_twice_or_lost_wherever_its_process_dies(tmp_path: Path) -> None:
    tally = asyncio.run(play(range(FIRST, FIRST + RUNS), tmp_path))
    assert tally.faults == []
    assert tally.deaths > 20 * RUNS
