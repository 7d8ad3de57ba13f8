"""The manual procedure of the old module left half way, and our commands after it: a slice of all ways."""

from pathlib import Path

import pytest

from tests.servers import Deployment, Farm
from tests.stories.pool_by_hand import half_ways, play, some_ways
from tests.stories.pool_world import pool_redis

WHOLE = 288
"""How many ways there are to leave it half way."""


def test_every_way_to_leave_it_half_way_is_known() -> None:
    assert len(set(half_ways())) == WHOLE


@pytest.mark.parametrize("seed", range(4))
async def test_the_manual_procedure_left_half_way_ends_with_the_miner_paid_once(
    server: Deployment, own: Farm, tmp_path: Path, seed: int
) -> None:
    assert await play(server, pool_redis(own), tmp_path, some_ways(seed, 8)) == []
