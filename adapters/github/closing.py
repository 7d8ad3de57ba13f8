"""Which issues a text says to close, by GitHub's closing keywords."""

import re

_KEYWORD = r"(?<![\w-])(?:close|closes|closed|fix|fixes|fixed|resolve|resolves|resolved):?\s+"
_NAME = r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}"
_NAMED = re.compile(
    rf"{_KEYWORD}(?:(?P<short>{_NAME})?#(?P<number>[0-9]{{1,18}})"
    rf"|https?://(?:www\.)?github\.com/(?P<long>{_NAME})/issues/(?P<linked>[0-9]{{1,18}}))(?![\w])",
    re.IGNORECASE,
)
# What nobody sees on the page claims nothing: templates are full of it.
_UNSEEN = re.compile(r"<!--.*?(?:-->|\Z)|^(```|~~~).*?(?:^\1|\Z)", re.DOTALL | re.MULTILINE)
_REMARK = re.compile(r"^\[comment.*$", re.MULTILINE | re.IGNORECASE)
LONGEST = 100_000
MOST = 50


def closes(repository: str, *texts: str | None) -> tuple[int, ...]:
    """List the issues of a repository that these texts say to close; those of other repositories are none of ours."""
    found: dict[int, None] = {}
    for text in texts:
        seen = _REMARK.sub("", _UNSEEN.sub("", (text or "")[:LONGEST]))
        for match in _NAMED.finditer(seen):
            elsewhere = match["short"] or match["long"] or repository
            number = int(match["number"] or match["linked"])
            if elsewhere.casefold() == repository.casefold() and number:
                found[number] = None
    return tuple(sorted(found))[:MOST]
