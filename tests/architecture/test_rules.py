"""The page of the rules names tests that exist, some for each rule."""

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
RULES = (REPOSITORY / "payflow/RULES.md").read_text("utf-8")
HEADING = re.compile(r"^## (\d+)\. (.+)$", re.MULTILINE)
NAMED = re.compile(r"^\* `(tests/\S+\.py)::(\w+)`$", re.MULTILINE)


def rules() -> dict[int, list[tuple[str, str]]]:
    """The tests of each rule, by its number."""
    _, *parts = HEADING.split(RULES)
    return {int(number): NAMED.findall(text) for number, text in zip(parts[0::3], parts[2::3], strict=True)}


def defined(path: str) -> set[str]:
    """The tests that a file has."""
    tree = ast.parse((REPOSITORY / path).read_text("utf-8"))
    tests = {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    # The test of a stateful model has the name of a variable.
    return tests | {one.id for one in ast.walk(tree) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def test_the_rules_are_numbered_one_after_the_other() -> None:
    assert list(rules()) == list(range(1, len(rules()) + 1))


def test_each_rule_has_tests_that_try_to_break_it() -> None:
    assert {number for number, tests in rules().items() if not tests} == set()


def test_each_test_that_a_rule_names_exists() -> None:
    named = {one for tests in rules().values() for one in tests}
    gone = {f"{path}::{test}" for path, test in named if not (REPOSITORY / path).exists() or test not in defined(path)}
    assert gone == set()


def test_each_line_of_a_list_names_a_test() -> None:
    assert len(re.findall(r"^\* ", RULES, re.MULTILINE)) == sum(map(len, rules().values()))


def test_a_rule_that_a_test_cites_is_there() -> None:
    """A header that cites rules by their numbers cites none that the page does not have."""
    cited = {
        int(number)
        for path in (REPOSITORY / "tests").rglob("*.py")
        if "with the numbers of payflow/RULES.md" in (text := path.read_text("utf-8").partition("import ")[0])
        for number in re.findall(r"^(\d+)  ", text, re.MULTILINE)
    }
    assert cited
    assert cited <= rules().keys()
