"""What every command has: an example that can be typed, and exit codes that mean the same everywhere."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from payflow.cli.commands import INDEX, cli, loaded
from payflow.cli.terminal import Code
from tests.cli.conftest import till
from tests.cli.till import Till
from tests.deploy.commands import commands as typed_in
from tests.deploy.commands import every_command, example_of, fault, faults_of

__all__ = ["till"]  # the fixture

ALL = every_command()
REPOSITORY = Path(__file__).parents[2]


def test_a_command_says_what_it_does_in_one_place() -> None:
    for path, command in ALL.items():
        assert command.help, path
        assert (command.callback.__doc__ is None) == (path in INDEX), path


def test_a_noun_is_listed_as_its_own_help_describes_it() -> None:
    told = CliRunner().invoke(cli, ["--help"], env={"COLUMNS": "300", "TERM": "dumb"}).output
    for name, listed in INDEX.items():
        assert loaded(name).help == listed.means
        assert listed.means in told


@pytest.mark.parametrize("path", sorted(ALL))
def test_every_command_has_an_example_that_can_be_typed_and_stands_in_its_help(path: str) -> None:
    example = example_of(ALL[path])
    (words,) = typed_in(f"`{example}`")
    assert " ".join(words).startswith(path)
    assert fault(words) == ""
    told = CliRunner().invoke(cli, [*path.split(), "--help"], env={"COLUMNS": "300", "TERM": "dumb"})
    assert told.exit_code == 0
    assert f"Example: {example}" in re.sub(r"\s+", " ", told.output)


def test_a_page_with_a_mistake_is_found_out() -> None:
    block = "payflow show\nREDIS_HOST=x payflow ls --stuk | cat\npayflow ls --stuck\n"
    page = f"Type `payflow shwo X`, or:\n\n```sh\n{block}```\n"
    found = [fault(words) for words in typed_in(page)]
    assert len(found) == 4
    assert [bool(one) for one in found].count(False) == 1


def test_what_is_typed_behind_an_indented_block_is_found_too() -> None:
    page = "Begin:\n\n    payflow ls\n    payflow shwo X\n\nThen `payflow lss` and `payflow ls`.\n"
    assert [" ".join(words) for words in typed_in(page)] == ["ls", "shwo X", "lss", "ls"]


@pytest.mark.parametrize("page", ["README.md", "payflow/README.md", ".github/SECURITY.md"])
def test_the_first_pages_name_commands_that_can_be_typed(page: str) -> None:
    assert list(typed_in((REPOSITORY / page).read_text("utf-8")))
    assert faults_of(REPOSITORY / page) == []


def test_shells_can_complete_commands(tmp_path: Path) -> None:
    """What `payflow --install-completion` puts into a shell asks the program like this."""
    environ = {**os.environ, "HOME": str(tmp_path), "_PAYFLOW_COMPLETE": "complete_bash"}
    environ |= {"COMP_WORDS": "payflow pa", "COMP_CWORD": "1"}
    program = [sys.executable, "-c", "from payflow.cli import main; main()"]
    told = subprocess.run(program, env=environ, capture_output=True, text=True, check=False)
    assert {"pause", "paused", "payout"} <= set(told.stdout.split())
    script = subprocess.run(
        [*program, "--show-completion", "bash"],
        env={
            **os.environ,
            "HOME": str(tmp_path),
            "SHELL": "/bin/bash",
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "_PAYFLOW_COMPLETE=complete_bash" in script.stdout, script.stderr


# ── exit codes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: int(code) for code in Code} == {
        "OK": 0,
        "REFUSED": 1,
        "USAGE": 2,
        "STORE": 3,
        "INTERRUPTED": 130,
    }
    pages = (cli.info.epilog, (REPOSITORY / "payflow/README.md").read_text())
    for page in pages:
        assert re.search(r"0 done, 1 refused or faults found, 2 wrong command line", re.sub(r"\s+", " ", str(page)))


def test_new_commands_keep_to_the_exit_codes(till: Till, tmp_path: Path) -> None:
    assert till("top", "--once").code == 0
    assert till("reconcile", "--since", "1d").code == 0
    assert "no time" in till.refused("reconcile", "--since", "yesterday", code=2)
    assert "still to come" in till.refused("reconcile", "--since", "2999-01-01")
    assert "--reason" in till.refused("reconcile", "--since", "1d", "--dismiss", "rail:x", code=2)
    assert "write --owner" in till.refused("reconcile", "--since", "1d", "--owner", "ann", "--reason", "r", code=2)
    assert "Nobody answered" in till.refused("archive", "--before", "1d")
    assert "no state" in till.refused("export", str(tmp_path / "x"), "--state", "NOWHERE", code=2)
    assert "not the embedded one" in till.refused("backup", str(tmp_path / "x"))
    assert "not the embedded one" in till.refused("restore", str(tmp_path / "x"))
    assert till("show").code == 2


def test_top_tells_what_there_is(till: Till) -> None:
    record_id = till.errand()
    assert till("pause", "machine:errand", "--why", "lunch").code == 0
    told = till.json("top", "--once")
    assert told["states"][0]["state"] == "ASKED"
    assert told["states"][0]["count"] == 1
    assert told["paused"] == ["machine:errand"]
    assert told["books_true"] is None
    till("ledger")
    assert till.json("top", "--once")["books_true"] is True
    shown = till("top", "--once").out
    assert "lunch" in shown
    assert "books true" in shown
    assert record_id not in shown


def test_export_and_archive_at_the_command_line(till: Till, tmp_path: Path) -> None:
    record_id = till.errand("DONE")
    other = till.errand(key="2")
    told = till.json("export", str(tmp_path / "all.jsonl"), "--owner", "ann")
    assert told["records"] == 2
    assert {json.loads(line)["id"] for line in (tmp_path / "all.jsonl").read_text().splitlines()} == {record_id, other}
    told = till.json("archive", "--before", "0m", "--yes")
    assert told["records"] == 0, "somebody must still be told of it"
    for shard in range(4):
        till.store_ask("DEL", f"{{pf:{shard:02d}}}:message", f"{{pf:{shard:02d}}}:outbox")
    assert till.json("archive", "--before", "0m", "--yes")["records"] == 1
    shown = till("show", record_id)
    assert shown.code == 0
    assert "made in ASKED" in shown.out
    assert "the hash chain is whole" in shown.out
    assert till.json("show", record_id)["state"] == "DONE"
    assert "not in" in till.refused("show", record_id, "--archive", str(tmp_path))
    assert till("ledger").code == 0
    assert till("verify").code == 0
