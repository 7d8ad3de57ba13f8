"""kill -9 at any commit and any call: nobody is paid twice, nobody is forgotten, every row of the books is right."""

from pathlib import Path

import pytest

from tests.servers import Farm
from tests.stories import pool_kills


@pytest.mark.timeout(110)
@pytest.mark.parametrize(("seed", "oetc"), [(1, False), (2, True)])
async def test_a_run_survives_being_killed_at_any_moment(own: Farm, tmp_path: Path, seed: int, *, oetc: bool) -> None:
    bed = await pool_kills.play(own, tmp_path, miners=12, kills=7, seed=seed, furthest=160, concurrent=4, oetc=oetc)
    assert bed.kills == 7, "it was over before the killing was done: fewer events than thought"
