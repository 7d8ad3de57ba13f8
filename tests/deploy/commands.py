"""Finds the commands that a page tells its reader to type, and holds them against the command line."""

import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer
from typer._click.exceptions import ClickException, MissingParameter

from payflow.cli.commands import INDEX, cli, loaded

_BLOCK = re.compile(r"```sh\n(.*?)```|((?:^ {4}\S[^\n]*\n)+)", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_SETTING = re.compile(r"[A-Z_]+=.*")
# What may stand before a command that is typed: the end of another one, who runs it, or where (a service of compose).
_OPENERS = frozenset({"&&", ";", "|", "sudo", "--", "api", "worker"})
_ENDS = frozenset({"|", "||", "&&", ";", ">", "<", "2>", ">>", "2>&1"})


def commands(page: str) -> Iterator[list[str]]:
    """Give every `payflow …` in a page, in blocks and in running text, as words."""
    blocks = [first or second for first, second in _BLOCK.findall(page)]
    yield from _commands_in(line for block in blocks for line in block.replace("\\\n", " ").splitlines())
    yield from _commands_in(_INLINE.findall(_BLOCK.sub("", page)))


def _commands_in(lines: Iterable[str]) -> Iterator[list[str]]:
    for line in lines:
        try:
            words = shlex.split(re.sub(r"\$\([^)]*\)", "X", line.replace("…", "X")), comments=True)
        except ValueError:
            continue  # running text with an apostrophe in it
        starts = [place for place, word in enumerate(words) if word == "payflow" or word.endswith("/bin/payflow")]
        for start in starts:
            rest = words[start + 1 :]
            end = next((place for place, word in enumerate(rest) if word in _ENDS), len(rest))
            if _is_typed(words[:start]):
                yield rest[:end]


def _is_typed(before: list[str]) -> bool:
    """Whether what stands before the word makes it a command and not an argument, such as a user's or unit's name."""
    left = [word for word in before if not _SETTING.fullmatch(word)]
    return not left or left[-1] in _OPENERS


def fault(words: list[str], *, mention: bool = False) -> str:
    """Say what is wrong with a command line; empty when Payflow would understand it, or where it is only a name."""
    command = _payflow()
    context = command.make_context("payflow", [], resilient_parsing=True)
    rest = list(words)
    while hasattr(command, "commands"):
        if not rest or rest[0].startswith("-"):
            return ""
        name = rest.pop(0)
        if name not in command.commands:
            return f"payflow {shlex.join(words)}: there is no {name!r}"
        command = loaded(name) if command is _payflow() else command.commands[name]
    try:
        command.make_context(command.name, rest, parent=context)
    except typer.Exit:
        return ""  # --help
    except MissingParameter as error:
        return "" if not rest and mention else f"payflow {shlex.join(words)}: {error.format_message()}"
    except ClickException as error:
        return f"payflow {shlex.join(words)}: {error.format_message()}"
    return ""


def every_command() -> dict[str, Any]:
    """Give all commands, each by the words that lead to it."""
    found: dict[str, Any] = {}
    for name in INDEX:
        command = loaded(name)
        nouns = getattr(command, "commands", None)
        found |= {name: command} if nouns is None else {f"{name} {verb}": one for verb, one in nouns.items()}
    return found


def example_of(command: Any) -> str:  # noqa: ANN401  (as below)
    """The example in a command's help."""
    return str(command.epilog or "").removeprefix("Example: ")


@cache
def _payflow() -> Any:  # noqa: ANN401  (typer's own click, whose types are private)
    return typer.main.get_command(cli)


def faults_of(path: Path) -> list[str]:
    """Say what is wrong with the commands of a page."""
    found = (fault(words, mention=True) for words in commands(path.read_text()))
    return [f"{path.name}: {one}" for one in found if one]
