"""GitHub without any I/O: is a delivery genuine, and what does it, or an answer of the API, say?

Only what can be relied on is read: a number that is none, or a part that is missing, makes the whole unreadable.
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from machines.core.clock import SECOND
from machines.core.errors import BadInput
from machines.core.forge import ForgeIssue, IssueNews, News, Place, PullNews, PullRequest, PullState, RepositoryNews

EVENT, DELIVERY = "x-github-event", "x-github-delivery"
SIGNATURE, OLD_SIGNATURE = "x-hub-signature-256", "x-hub-signature"
MOST_BYTES = 1024 * 1024
GHOST = "ghost"

Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""What we keep has 64 bits."""

_REPOSITORY = frozenset({"renamed", "transferred", "edited", "deleted", "privatized", "publicized"})
_SECRETIVE = frozenset({"deleted", "suspend"})
_PARTS = {
    "issue": {"issues"},
    "pull_request": {"pull_request"},
    "repositories": {"installation"},
    "repositories_added": {"installation_repositories"},
    "repositories_removed": {"installation_repositories"},
}
"""Of which event a part of a delivery can only be: the header that names the event is not signed, the body is."""
_OF_REPOSITORY = frozenset({"action", "changes", "enterprise", "installation", "organization", "repository", "sender"})
"""All that a `repository` delivery has; deliveries of most other events have a repository too, and something more."""
_READ = frozenset({"issues", "pull_request", "installation", "installation_repositories", "repository"})
_NAMES = msgspec.json.Decoder(dict[str, msgspec.Raw])


def signed(body: bytes, secret: str) -> Mapping[str, str]:
    """Give the header that a genuine delivery has."""
    return {SIGNATURE: _signature(body, secret, "sha256")}


def _signature(body: bytes, secret: str, digest: str) -> str:
    return f"{digest}={hmac.digest(secret.encode(), body, digest).hex()}"


def genuine(headers: Mapping[str, str], body: bytes, secret: str, *, old: bool = False) -> bool:
    """Tell whether a delivery is signed with our secret; the old signature counts only where that was set on purpose.

    A delivery that carries the new one is never judged by the old one.
    """
    shown = {name.casefold(): value for name, value in headers.items()}
    header, digest = (SIGNATURE, "sha256") if SIGNATURE in shown or not old else (OLD_SIGNATURE, "sha1")
    expected = _signature(body, secret, digest).encode()
    return bool(secret) and hmac.compare_digest(shown.get(header, "").encode(errors="surrogateescape"), expected)


# ── what GitHub writes ───────────────────────────────────────────────────────────────────────────────────────────────


class User(Struct):
    """An account."""

    id: Number
    login: str


class Label(Struct):
    """A label of an issue."""

    name: str = ""


class _Numbered(Struct):
    """What an issue and a pull request have in common."""

    id: Number
    number: Number
    title: str
    state: str
    updated_at: str


class RawIssue(_Numbered):
    """An issue, in a delivery or an answer."""

    labels: list[Label] = field(default_factory=list)
    pull_request: object | UnsetType = UNSET
    """There only where it is a pull request, which GitHub lists among the issues."""


class RawEvent(Struct):
    """Something that happened to an issue."""

    event: str = ""
    created_at: str = ""
    label: Label = field(default_factory=Label)


class GitHubRepository(Struct):
    """A repository."""

    id: Number
    full_name: str
    default_branch: str = ""
    private: bool = False


class Base(Struct):
    """Where a pull request goes."""

    ref: str
    repo: GitHubRepository


class Head(Struct):
    """What a pull request brings. Its repository may be a fork, or gone; nobody needs it."""

    sha: str


class RawPull(_Numbered):
    """A pull request, in a delivery or an answer."""

    base: Base
    head: Head
    body: str | None = None
    user: User | None = None
    merged_at: str | None = None


class Ref(Struct):
    """An installation, by its number."""

    id: Number = 0


class From(Struct):
    """What something was before an edit."""

    from_: str | None = field(default="", name="from")


class Changes(Struct):
    """What an edit changed."""

    title: From = field(default_factory=From)
    body: From = field(default_factory=From)
    new_issue: RawIssue | None = None
    new_repository: GitHubRepository | None = None


class GitHubDelivery(Struct):
    """A delivery; of each kind only some parts are there."""

    action: str = ""
    issue: RawIssue | None = None
    pull_request: RawPull | None = None
    repository: GitHubRepository | None = None
    installation: Ref = field(default_factory=Ref)
    changes: Changes = field(default_factory=Changes)
    label: Label = field(default_factory=Label)
    repositories: list[GitHubRepository] = field(default_factory=list)
    repositories_added: list[GitHubRepository] = field(default_factory=list)
    repositories_removed: list[GitHubRepository] = field(default_factory=list)


_FORM = b"payload="
_DELIVERY = msgspec.json.Decoder(GitHubDelivery)


def read(event: str, body: bytes, label: str) -> tuple[News, ...]:
    """Read what a delivery tells; nothing where it is of no interest. `BadInput` where it cannot be read."""
    if len(body) > MOST_BYTES:
        raise BadInput(
            f"A delivery of more than {MOST_BYTES} bytes is not read; `payflow bounty sync` finds what it told."
        )
    try:
        told = _json_of(body)
        delivery = _DELIVERY.decode(told)
        if event in _READ and _of_another_event(event, set(_NAMES.decode(told))):
            raise BadInput(f"The body of this delivery is not that of the event {event}, which its header names.")
        return _news(event, delivery, label)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadInput("The delivery is not GitHub's JSON.") from error


def _of_another_event(event: str, parts: set[str]) -> bool:
    """Whether a body was signed for another event: what was captured must not be sent again as something else."""
    if event == "repository":
        return not parts <= _OF_REPOSITORY
    return any(event not in _PARTS[part] for part in parts & _PARTS.keys())


def _json_of(body: bytes) -> bytes:
    """Give the JSON of a delivery, which GitHub puts into a form where the webhook was set up so."""
    if not body.startswith(_FORM):
        return body
    return unquote_to_bytes(body.removeprefix(_FORM).replace(b"+", b" "))


def _news(event: str, delivery: GitHubDelivery, label: str) -> tuple[News, ...]:
    match event:
        case "issues" if delivery.issue and delivery.repository:
            return _issue_news(delivery, delivery.issue, delivery.repository, label)
        case "pull_request" if delivery.pull_request and delivery.repository:
            return _pull_news(delivery, delivery.pull_request, delivery.repository)
        case "installation":
            enabled = delivery.action not in _SECRETIVE
            return tuple(_repository_news(delivery, one, enabled=enabled) for one in delivery.repositories)
        case "installation_repositories":
            added = tuple(_repository_news(delivery, one, enabled=True) for one in delivery.repositories_added)
            return added + tuple(
                _repository_news(delivery, one, enabled=False) for one in delivery.repositories_removed
            )
        case "repository" if delivery.repository and delivery.action in _REPOSITORY:
            return (_repository_news(delivery, delivery.repository, enabled=delivery.action != "deleted"),)
        case _:
            return ()


def _repository_news(delivery: GitHubDelivery, one: GitHubRepository, *, enabled: bool) -> RepositoryNews:
    return RepositoryNews(delivery.installation.id, one.id, one.full_name, enabled, one.private)


def _issue_news(delivery: GitHubDelivery, raw: RawIssue, repository: GitHubRepository, label: str) -> tuple[News, ...]:
    place = Place(delivery.installation.id, repository.id, repository.full_name, raw.number)
    gone = ""
    if delivery.action == "deleted":
        gone = "the issue was deleted"
    elif delivery.action == "transferred":
        there = delivery.changes.new_repository.full_name if delivery.changes.new_repository else "elsewhere"
        number = f"#{delivery.changes.new_issue.number}" if delivery.changes.new_issue else ""
        gone = f"the issue was moved to {there}{number}"
    found = issue(raw, label)
    at = found.updated_at
    found = replace(
        found,
        reopened_at=at if delivery.action == "reopened" else 0,
        labelled_at=at if delivery.action == "labeled" and delivery.label.name == label else 0,
    )
    return (IssueNews(place, found, gone, repository.private),)


def _pull_news(delivery: GitHubDelivery, raw: RawPull, repository: GitHubRepository) -> tuple[News, ...]:
    place = Place(delivery.installation.id, repository.id, repository.full_name, 0)
    found = pull(raw)
    if raw.merged_at is not None and delivery.action != "closed":
        return ()  # claims freeze at the merge: else whoever was merged once could write himself into any later bounty
    before = closes(raw.base.repo.full_name, delivery.changes.title.from_, delivery.changes.body.from_)
    return (PullNews(place, found, tuple(sorted({*found.closes, *before}))),)


# ── in our words ─────────────────────────────────────────────────────────────────────────────────────────────────────


def issue(raw: RawIssue, label: str) -> ForgeIssue:
    """Say what an issue is."""
    labelled = any(one.name == label for one in raw.labels)
    return ForgeIssue(raw.id, raw.number, raw.title[:300], raw.state == "open", labelled, moment(raw.updated_at))


def with_events(one: ForgeIssue, events: Iterable[RawEvent], label: str) -> ForgeIssue:
    """Add what its events tell: since when it carries the label, and when it was last opened again."""
    labelled, reopened = 0, 0
    for event in events:
        if event.event == "labeled" and event.label.name == label:
            labelled = max(labelled, moment(event.created_at))
        elif event.event == "reopened":
            reopened = max(reopened, moment(event.created_at))
    return replace(one, labelled_at=labelled if one.labelled else 0, reopened_at=reopened)


def pull(raw: RawPull) -> PullRequest:
    """Say what a pull request is; only a merge into the default branch is one."""
    home = raw.base.repo
    merged = raw.merged_at is not None and raw.base.ref == home.default_branch
    state = PullState.MERGED if merged else PullState.OPENED if raw.state == "open" else PullState.CLOSED
    author = raw.user or User(0, GHOST)
    return PullRequest(
        id=raw.id,
        number=raw.number,
        title=raw.title[:300],
        author_id=author.id,
        author=author.login,
        commit_sha=raw.head.sha,
        state=state,
        closes=closes(home.full_name, raw.title, raw.body),
        updated_at=moment(raw.updated_at),
        merged_at=moment(raw.merged_at) if merged and raw.merged_at else 0,
        reverts=reverts(home.full_name, raw.title, raw.body),
    )


def moment(text: str) -> int:
    """Read a time."""
    return int(datetime.fromisoformat(text).timestamp() * SECOND)


# ── which issues a text says to close, and which pull requests to take back ──────────────────────────────────────────

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
