"""A taste of the long run: `python -m tests.chains.lying --runs 1000` plays as many as you have time for."""

import asyncio
import os
from pathlib import Path

from tests.chains.lying import play, play_on_anvil

RUNS = int(os.environ.get("LYING_RUNS", "8"))
FIRST = int(os.environ.get("LYING_SEED", "1"))


def test_nothing_settles_that_did_not_happen_whatever_some_nodes_say(tmp_path: Path) -> None:
    tally = asyncio.run(play(range(FIRST, FIRST + RUNS), tmp_path))
    assert tally.faults == []
    assert sum(tally.settled.values()) >= 4 * RUNS


def test_the_same_on_real_chains(tmp_path: Path) -> None:
    tally = asyncio.run(play_on_anvil(range(FIRST, FIRST + 2), tmp_path))
    assert tally.faults == []
