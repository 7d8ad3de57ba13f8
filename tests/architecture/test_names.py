"""Names: no class of the product has the name of another, and none a word that a stranger could not search for."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PRODUCT = ("payflow", "machines", "adapters")


def classes() -> Iterator[tuple[str, str]]:
    """Name each public class, and where it is defined."""
    for package in PRODUCT:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield node.name, str(path.relative_to(REPOSITORY))


def test_no_class_name_is_used_twice() -> None:
    places = defaultdict(list)
    for name, path in classes():
        places[name].append(path)
    assert len(places) > 600
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
