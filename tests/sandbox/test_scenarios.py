"""The other scenarios, played to their ends and told line by line, as where there is no terminal."""

import asyncio
from pathlib import Path

from payflow.sandbox.scenarios import SCENARIOS
from payflow.sandbox.world import ON_ANVIL, SCENARIO_NAMES
from tests.sandbox.running import sandbox

ENDS = {
    "gateway-outage": "All five are paid, each exactly once",
    "fraud-spike": "The rules stopped all 8",
    "reorg": "under the same hash: paid once",
    "stuck-nonce": "was mined; the others never can be",
}


async def played(folder: Path, name: str) -> None:
    """Play one, and see how it ends."""
    async with sandbox(folder, "--scenario", name, as_json=False) as one:
        await one.until_said(ENDS[name])
        assert not [line for line in one.lines if "broke off" in line]
        assert await one.end() == 0
        await one.until_nothing_is_left()


async def test_every_scenario_is_played_to_its_end(tmp_path: Path) -> None:
    await asyncio.gather(*(played(tmp_path / name, name) for name in ENDS))


async def test_a_gateway_plays_whose_books_differ_from_ours_in_every_way(tmp_path: Path) -> None:
    async with sandbox(tmp_path, "--scenario", "discrepancies", as_json=False) as one:
        await one.until_said("12 differences of 12 of 12 kinds")
        assert not [line for line in one.lines if "broke off" in line]


def test_the_command_names_the_scenarios_that_there_are() -> None:
    assert set(SCENARIO_NAMES) == set(SCENARIOS)
    assert set(ON_ANVIL) < set(SCENARIOS)


async def test_a_scenario_that_nobody_knows_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    async with sandbox(tmp_path, "--scenario", "earthquake", as_json=False) as one:
        assert await one.process.wait() == 2
    assert "default, none, gateway-outage" in (tmp_path / "err").read_text()
