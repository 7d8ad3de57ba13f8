"""Which issues a text says to close, by GitHub's closing keywords; and which pull requests it says to take back."""

import re
from collections.abc import Iterable

_KEYWORD = r"(?<![\w-])(?:close|closes|closed|fix|fixes|fixed|resolve|resolves|resolved):?\s+"
_NAME = r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}"
_NAMED = re.compile(
    rf"{_KEYWORD}(?:(?P<short>{_NAME})?#(?P<number>[0-9]{{1,18}})"
    rf"|https?://(?:www\.)?github\.com/(?P<long>{_NAME})/issues/(?P<linked>[0-9]{{1,18}}))(?![\w])",
    re.IGNORECASE,
)
# As GitHub's own button writes it.
_REVERTS = re.compile(
    rf"(?<![\w-])reverts?:?\s+(?:(?P<short>{_NAME})?#(?P<number>[0-9]{{1,18}})"
    rf"|https?://(?:www\.)?github\.com/(?P<long>{_NAME})/pull/(?P<linked>[0-9]{{1,18}}))(?![\w])",
    re.IGNORECASE,
)
# What nobody sees on the page claims nothing: templates are full of it.
_UNSEEN = re.compile(r"<!--.*?(?:-->|\Z)|^(```|~~~).*?(?:^\1|\Z)", re.DOTALL | re.MULTILINE)
_REMARK = re.compile(r"^\[comment.*$", re.MULTILINE | re.IGNORECASE)
LONGEST = 100_000
MOST = 50


def closes(repository: str, *texts: str | None) -> tuple[int, ...]:
    """List the issues of a repository that these texts say to close; those of other repositories are none of ours."""
    return _numbers(_NAMED, repository, texts)


def reverts(repository: str, *texts: str | None) -> tuple[int, ...]:
    """List the pull requests of a repository that these texts say to take back."""
    return _numbers(_REVERTS, repository, texts)


def _numbers(names: re.Pattern[str], repository: str, texts: Iterable[str | None]) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for text in texts:
        seen = _REMARK.sub("", _UNSEEN.sub("", (text or "")[:LONGEST]))
        for match in names.finditer(seen):
            elsewhere = match["short"] or match["long"] or repository
            number = int(match["number"] or match["linked"])
            if elsewhere.casefold() == repository.casefold() and number:
                found[number] = None
    return tuple(sorted(found))[:MOST]
