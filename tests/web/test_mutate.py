"""A slice of the mutated requests; `python -m tests.web.mutate` sends twenty thousand."""

from pathlib import Path

import pytest

from payflow.config import Settings
from tests.web.mutate import mutate


@pytest.mark.parametrize("seed", [1, 2])
async def test_mutated_requests_are_refused_without_an_error_of_ours(
    settings: Settings, tmp_path: Path, seed: int
) -> None:
    outcome = await mutate(settings, tmp_path, 300, seed)
    assert outcome.faults == []
    assert outcome.errors == []
    assert outcome.statuses.total() == 300
    assert {200, 400, 401} <= set(outcome.statuses), "it reaches what it should break"
