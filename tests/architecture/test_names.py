"""Names: no class of the product has the name of another, no identifier says a word that a stranger cannot search for.

The glossary of payflow/README.md is what the code says, and has the list of the words that name nothing any more.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from pkgutil import resolve_name

import pytest

REPOSITORY = Path(__file__).parents[2]
PRODUCT = ("payflow", "machines", "adapters")
GLOSSARY = (REPOSITORY / "payflow/README.md").read_text("utf-8").partition("## The words\n")[2].partition("\n## ")[0]
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

STORED = {
    "told_about": "a field of bounties that lie in stores",
    "told_at": "a field of bounties that lie in stores",
    "told": "a field of a fact, which histories name",
    "deferred_told": "a field of payouts that lie in stores",
}
"""Identifiers that keep a retired word, because what was written with them must still be read."""


@cache
def sources() -> tuple[tuple[str, ast.Module], ...]:
    """Read each file of the product, by its place."""
    paths = [path for package in PRODUCT for path in sorted((REPOSITORY / package).rglob("*.py"))]
    return tuple((path.relative_to(REPOSITORY).as_posix(), ast.parse(path.read_text("utf-8"))) for path in paths)


def classes() -> Iterator[tuple[str, str]]:
    """Name each public class, and where it is defined."""
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, path


def identifiers(tree: ast.Module) -> Iterator[str]:
    """Name all that a file defines: functions, classes, arguments, attributes, variables."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.alias(asname=str(name)):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.ExceptHandler(name=str(name)):
                yield name
            case _:
                pass


def words(name: str) -> set[str]:
    """Take an identifier apart: `_told_at`, `KEPT_MS` and `StandingOrder` alike."""
    return {word.lower() for word in WORD.findall(name)}


def rows(columns: int) -> list[list[str]]:
    """The rows of the glossary's table that has so many columns."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in GLOSSARY.splitlines() if line[:1] == "|"]
    return [
        cells for cells in lines if len(cells) == columns and cells[0] not in ("word", "not") and "--" not in cells[0]
    ]


RETIRED = {word for word, _ in rows(2)}


def retired(path: str, tree: ast.Module) -> set[str]:
    """The identifiers of a file, its own name among them, that say a retired word."""
    names = {*identifiers(tree), *path.removesuffix(".py").split("/")}
    return {name for name in names if words(name) & RETIRED} - STORED.keys()


def test_each_machine_has_the_same_four_files() -> None:
    machines = {path.parent for path in (REPOSITORY / "machines").glob("*/*.py")} - {REPOSITORY / "machines/core"}
    assert len(machines) >= 4
    for machine in machines:
        assert {path.stem for path in machine.glob("*.py")} >= {"lifecycle", "facts", "react", "acts"}, machine


def test_no_class_name_is_used_twice() -> None:
    places = defaultdict(list)
    for name, path in classes():
        places[name].append(path)
    assert len(places) > 600
    twice = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert twice == {}, "whoever searches for a class must find one: say in the newer name whose it is"


def test_no_identifier_says_a_retired_word() -> None:
    assert len(RETIRED) >= 8
    said = {path: found for path, tree in sources() if (found := retired(path, tree))}
    assert said == {}, "take the technical word: payflow/README.md has a table of these, with what to say instead"


@pytest.mark.parametrize(
    "planted",
    [
        "def tell_kept(): ...",
        "async def door(): ...",
        "class StandingOrder: ...",
        "def ask(*, beside=None): ...",
        "class Heights:\n    told_first: int = 0",
        "self.LUCK_S = 1",
        "import random as luck",
        "match fact:\n    case Paid() as till: ...",
        "for crowd, count in counts: ...",
    ],
)
def test_a_retired_word_that_is_planted_is_caught(planted: str) -> None:
    assert retired("payflow/desk/planted.py", ast.parse(planted))


def test_a_module_or_a_folder_with_a_retired_name_is_caught() -> None:
    assert retired("payflow/desk/standing.py", ast.parse(""))
    assert retired("payflow/till/desk.py", ast.parse(""))


def test_a_stored_name_that_is_excused_is_still_there() -> None:
    assert {name for _, tree in sources() for name in identifiers(tree)} >= STORED.keys()


@pytest.mark.parametrize(("terms", "places"), [(terms, places) for terms, _, places in rows(3)], ids=lambda text: text)
def test_a_word_of_the_glossary_is_a_name_in_the_code(terms: str, places: str) -> None:
    named = re.findall(r"`([\w.]+)`", places)
    for place in named:
        resolve_name(place)
    for term in terms.split(", "):
        said = any(term.split()[-1] in words(place.rpartition(".")[2]) for place in named)
        assert said, f"{term}: the glossary of payflow/README.md must lead to a name with this word in it"
