"""What the pages of the repository lead to is there: links, the headings in them, and the files that are named."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("README.md", ".github", "adapters", "deploy", "machines", "payflow", "tests")
PAGES = [
    page
    for room in ROOMS
    for page in ([REPOSITORY / room] if room.endswith(".md") else sorted((REPOSITORY / room).rglob("*.md")))
]
PARTS = "|".join(room for room in ROOMS if "." not in room)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
NAMED = re.compile(rf"(?<![\w/.-])((?:{PARTS})/[\w./-]*\w\.(?:py|lua|md|yml|toml))(?!\w)")


def anchors(page: Path) -> set[str]:
    """Name the headings of a page as a link to them does."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def gone(page: Path, text: str) -> set[str]:
    """What a text on a page leads to or names, and is not there."""
    found = {file for file in NAMED.findall(text) if not (REPOSITORY / file).exists()}
    for file, anchor in LINK.findall(text):
        target = (page.parent / file) if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.add(f"{file}#{anchor}" if anchor else file)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_what_a_page_leads_to_is_there(page: Path) -> None:
    assert gone(page, page.read_text("utf-8")) == set(), "it was moved or renamed: say on this page where it is now"


@pytest.mark.parametrize(
    "planted",
    [
        "see [the desk](payflow/desk/nowhere.py)",
        "see [the hour](README.md#read-it-in-a-day)",
        "in `payflow/desk/nowhere.py`",
        "try `tests/nowhere/test_all.py -k one`",
    ],
)
def test_what_is_planted_and_leads_nowhere_is_found(planted: str) -> None:
    assert len(gone(REPOSITORY / "README.md", planted)) == 1
