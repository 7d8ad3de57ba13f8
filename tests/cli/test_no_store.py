"""In a folder without a store no command makes one, and none answers as if all were well; services make theirs."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from payflow.cli.commands import cli
from tests.cli.till import Till
from tests.deploy.commands import every_command, example_of
from tests.servers import Deployment
from tests.service import parts

MAKE_IT = {"serve", "worker", "sandbox", "init", "pool run", "restore"}
NEED_NONE = {"seal-key", "lifecycle", "simulate"}
TYPED = {
    name: shlex.split(example_of(command))
    for name, command in every_command().items()
    if name not in MAKE_IT | NEED_NONE
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, and a shell that knows no settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("PAYFLOW_DATA", "REDIS_URL", "REDIS_HOST", "PAYFLOW_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with capture_logs():
        yield tmp_path


def test_every_command_is_tried() -> None:
    assert len(TYPED) > 40


@pytest.mark.parametrize("name", TYPED)
def test_no_command_makes_a_store_or_answers_for_one(folder: Path, name: str) -> None:
    result = CliRunner().invoke(cli, TYPED[name][1:], obj=parts)
    assert result.exit_code != 0, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert list(folder.rglob("*")) == [], "not a file"


@pytest.mark.parametrize("words", [("pause", "everything", "--why", "night"), ("ls", "--stuck"), ("doctor",)])
def test_the_brake_that_is_not_connected_says_what_to_set(folder: Path, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, list(words), obj=parts)
    said = (result.stderr + result.stdout).replace("\n", " ")
    assert result.exit_code == 3
    for part in ("There is no store of Payflow", str(folder / "data"), "PAYFLOW_DATA", "REDIS_HOST", "payflow init"):
        assert part in " ".join(said.split()), said
    assert "Fit to send" not in said
    assert "paused" not in said


def test_a_new_installation_is_made_by_saying_so(folder: Path) -> None:
    assert CliRunner().invoke(cli, ["init"], obj=parts).exit_code == 0
    assert (folder / "data" / "appendonlydir").is_dir()
    assert CliRunner().invoke(cli, ["pause", "everything", "--why", "night"], obj=parts).exit_code == 0


def test_a_server_that_no_payflow_ever_used_is_no_store_either(
    till: Till, server: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = server.nodes()[0]
    node.ask("FLUSHALL")
    monkeypatch.setenv("PAYFLOW_DATA", "of-another-shell")
    for words in (("pause", "everything", "--why", "night"), ("ls",), ("token", "create", "olu", "--role", "operator")):
        assert "There is no store of Payflow at" in till.refused(*words, code=3)
    assert node.ask("DBSIZE") == 0
