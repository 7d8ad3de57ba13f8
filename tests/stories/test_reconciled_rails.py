"""What differs where a lane and a pool pay is found once, and goes by its act.

In small; `python -m tests.stories.reconciled` does it with two thousand payments and a hundred miners.
"""

from pathlib import Path
from random import Random

from payflow.config import Settings
from tests.chain import anvil
from tests.servers import Deployment, Farm
from tests.stories.pool_world import pool_redis
from tests.stories.reconciled_rails import play_lane, play_pool

SEED = 20270115


async def test_what_somebody_sends_with_a_lanes_key_is_found_among_its_batches(settings: Settings) -> None:
    async with anvil(mining=False, slots_in_an_epoch=1) as chain:
        await play_lane(settings, chain, Random(SEED), 12, 3)


async def test_rows_that_are_lost_or_written_into_a_pools_list_are_found_and_put_right(
    server: Deployment, own: Farm, tmp_path: Path
) -> None:
    async with anvil() as chain:
        await play_pool(server, pool_redis(own), chain, tmp_path, Random(SEED), 6, 4)
