"""The path that every payment takes, from the table to the commit, can be read in an hour: it has a limit of lines.

README.md leads along it, and payflow/README.md names its functions: both are true to the files.
"""

import ast
import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

REPOSITORY = Path(__file__).parents[2]
LUA = REPOSITORY / "payflow/store/lua"
MOST_LINES = 1600
HOUR = (REPOSITORY / "README.md").read_text("utf-8").partition("## Read it in an hour\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (\d+) \| (.*?) \| .* \|$", HOUR, re.MULTILINE)
LIFE = (REPOSITORY / "payflow/README.md").read_text("utf-8").partition("### The same for a payout\n")[2]
STEPS = re.findall(r"^\| .*?\| `([\w.]+)` \|", LIFE.partition("\n## ")[0], re.MULTILINE)


def test_what_only_puts_together_stays_small() -> None:
    lines = [len(one.read_text("utf-8").splitlines()) for one in (REPOSITORY / "payflow/app").rglob("*.py")]
    assert sum(lines) <= MOST_LINES, "app composes: what it decides has a home at the desk"


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


def links(row: str) -> list[Path]:
    return [REPOSITORY / link for link in re.findall(r"\]\(([^)]+)\)", row)]


def test_the_core_path_can_be_read_in_an_hour() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in core_path()}
    assert sum(lines.values()) <= MOST_LINES, f"shorten it, or move aside what not every payment needs: {lines}"


def test_the_path_of_the_readme_is_an_hour_and_leads_along_the_core() -> None:
    assert sum(int(minutes) for minutes, _ in ROWS) == 60
    led = {path for _, row in ROWS for path in links(row)}
    assert led >= {path for path in core_path() if path.suffix == ".py" or path.stem in ("commit", "op_move", "ledger")}


@pytest.mark.parametrize("row", [row for _, row in ROWS])
def test_what_the_readme_says_to_read_is_there(row: str) -> None:
    found = [path.read_text("utf-8") for path in links(row)]
    code = [ast.parse(path.read_text("utf-8")) for path in links(row) if path.suffix == ".py"]
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    defined = {one.name for tree in code for one in ast.walk(tree) if isinstance(one, functions)}
    assert found
    assert set(re.findall(r"`(\w+)`", row)) <= defined
    assert all(f"## {title.capitalize()}\n" in found[0] for title in re.findall(r"\*(\w[\w ]+)\*", row))


@pytest.mark.parametrize("place", STEPS)
def test_a_step_in_the_life_of_a_payout_is_named_as_the_code_names_it(place: str) -> None:
    resolve_name(place)


def test_the_life_of_a_payout_goes_from_the_request_to_the_watch() -> None:
    assert len(STEPS) > 10
    assert (STEPS[0], STEPS[-1]) == ("payflow.desk.payouts.Desk.request", "machines.payout.acts.PayoutActs.watch")


def test_the_core_path_is_all_that_a_commit_runs() -> None:
    assert {"operations.lua", "op_move.lua", "ledger.lua", "lease.lua"} <= {path.name for path in commit_script()}
