"""The path that every payment takes, from the table to the commit, can be read in an hour: it has a limit of lines."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
LUA = REPOSITORY / "payflow/store/lua"
MOST_LINES = 1600


def commit_script() -> list[Path]:
    """The script that writes a decision, and every part that it includes."""
    commit = LUA / "commit.lua"
    return [
        commit,
        *(LUA / f"{part}.lua" for part in re.findall(r"^--@include (\w+)$", commit.read_text(), re.MULTILINE)),
    ]


def core_path() -> list[Path]:
    """What a payout can be and do, what a fact means, one look, what a decision becomes, and how it is written."""
    python = (
        "machines/payout/lifecycle.py",
        "machines/payout/react.py",
        "payflow/engine/step.py",
        "payflow/store/groups.py",
    )
    return [*(REPOSITORY / name for name in python), *commit_script()]


def test_the_core_path_can_be_read_in_an_hour() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in core_path()}
    assert sum(lines.values()) <= MOST_LINES, lines


def test_the_core_path_is_all_that_a_commit_runs() -> None:
    assert {"operations.lua", "op_move.lua", "ledger.lua", "lease.lua"} <= {path.name for path in commit_script()}
