"""What GitHub's deliveries say, and whether they are GitHub's."""

import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from adapters.github import wire
from adapters.github.wire import closes
from machines.core.errors import BadInput
from machines.core.forge import IssueNews, PullNews, PullState, RepositoryNews

HERE = "Acme/widgets"
SECRET = "a secret of ours"
BODY = b'{"action":"opened"}'
WHEN = "2026-11-20T14:00:00Z"


def signed(body: bytes = BODY, algorithm: str = "sha256", secret: str = SECRET) -> str:
    """A signature as GitHub writes it."""
    return f"{algorithm}={hmac.digest(secret.encode(), body, algorithm).hex()}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Closes #7", (7,)),
        ("closed: #7", (7,)),
        ("fix #7, fixes #8 and RESOLVED #9", (7, 8, 9)),
        ("Resolves https://github.com/acme/Widgets/issues/12", (12,)),
        ("fixes acme/widgets#5", (5,)),
        ("fixes other/widgets#5", ()),
        ("closes https://github.com/other/widgets/issues/5", ()),
        ("closes https://evil.example/acme/widgets/issues/5", ()),
        ("close #9000000000000000", (9_000_000_000_000_000,)),
        ("closes #0", ()),
        ("prefixes #3", ()),
        ("this disclosed #3", ()),
        ("see #3", ()),
        ("closes#3", ()),
        ("closes #3a", ()),
        ("<!-- closes #3 -->", ()),
        ("<!-- closes #3", ()),
        ("[comment]: # (closes #3)", ()),
        ("```\ncloses #3\n```\ncloses #4", (4,)),
        ("closes #3\ncloses #3", (3,)),
        (None, ()),
        ("", ()),
        ("closes #" + "9" * 400, ()),
    ],
)
def test_closing_keywords(text: str | None, found: tuple[int, ...]) -> None:
    """Each of GitHub's words, in each form, and nothing that nobody sees or that speaks of another repository."""
    assert closes(HERE, text) == found


def test_title_and_body_both_claim() -> None:
    """Several issues in one pull request."""
    assert closes(HERE, "Fix #2", "and closes #1") == (1, 2)


def test_a_text_that_is_made_to_take_long_takes_no_longer() -> None:
    """A bound on what is read, and no pattern that goes wild."""
    assert closes(HERE, "closes " * 200_000 + "#1") == ()
    assert closes(HERE, "<!--" * 100_000) == ()
    assert len(closes(HERE, "".join(f"closes #{n}\n" for n in range(1, 5000)))) == 50


def test_a_genuine_delivery() -> None:
    """Signed over the bytes as they came."""
    assert wire.genuine({"X-Hub-Signature-256": signed()}, BODY, SECRET)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": signed(b"other")},
        {"X-Hub-Signature-256": signed(secret="another")},
        {"X-Hub-Signature-256": signed()[:-1]},
        {"X-Hub-Signature-256": "sha256=é"},
        {"X-Hub-Signature": signed(algorithm="sha1")},
    ],
)
def test_a_forged_delivery(headers: dict[str, str]) -> None:
    """Unsigned, wrongly signed, or by the old way that nobody asked for."""
    assert not wire.genuine(headers, BODY, SECRET)


def test_without_a_secret_nothing_is_genuine() -> None:
    """An empty secret signs for everybody."""
    assert not wire.genuine({"X-Hub-Signature-256": signed(secret="")}, BODY, "")


def test_the_old_signature_counts_only_on_purpose() -> None:
    """And never where the new one is there and wrong."""
    old = {"X-Hub-Signature": signed(algorithm="sha1")}
    assert wire.genuine(old, BODY, SECRET, old=True)
    assert not wire.genuine({**old, "X-Hub-Signature-256": signed(b"other")}, BODY, SECRET, old=True)


def delivery(**parts: Any) -> bytes:
    """What GitHub sends, cut down to what is read and some that is not."""
    told = {
        "repository": {"id": 6_000_000_001, "full_name": HERE, "default_branch": "main"},
        "installation": {"id": 77},
        "sender": {"login": "x"},
    }
    return json.dumps({**told, **parts}).encode()


def issue(**parts: Any) -> dict[str, Any]:
    """An issue as it is written."""
    known = {"id": 5_000_000_002, "number": 7, "title": "It hurts", "state": "open", "labels": [{"name": "bounty"}]}
    return {**known, "updated_at": WHEN, **parts}


def pull(**parts: Any) -> dict[str, Any]:
    """A pull request as it is written."""
    known = {
        "id": 5_000_000_003,
        "number": 8,
        "title": "Heal it",
        "body": "Closes #7",
        "state": "open",
        "updated_at": WHEN,
        "user": {"id": 5_000_000_004, "login": "ann"},
        "head": {"sha": "ab" * 20, "repo": None},
        "base": {"ref": "main", "repo": {"id": 6_000_000_001, "full_name": HERE, "default_branch": "main"}},
    }
    return {**known, **parts}


def test_an_issue_with_ids_wider_than_32_bits() -> None:
    """They outgrew the old columns."""
    (news,) = wire.read("issues", delivery(action="labeled", issue=issue()), "bounty")
    assert isinstance(news, IssueNews)
    assert (news.issue.id, news.place.repository, news.place.installation) == (5_000_000_002, 6_000_000_001, 77)
    assert (news.issue.open, news.issue.labelled, news.gone) == (True, True, "")


def test_a_delivery_that_comes_as_a_form() -> None:
    """As GitHub sends it where nobody chose JSON for the webhook."""
    whole = delivery(action="labeled", issue=issue(title="50 % + more & more"))
    form = urlencode({"payload": whole.decode()}).encode()
    assert wire.read("issues", form, "bounty") == wire.read("issues", whole, "bounty") != ()


def test_only_the_label_counts() -> None:
    """Exactly as it is called."""
    (news,) = wire.read("issues", delivery(action="labeled", issue=issue(labels=[{"name": "Bounty!"}])), "bounty")
    assert isinstance(news, IssueNews)
    assert not news.issue.labelled


def test_a_deleted_and_a_moved_issue() -> None:
    """Both are gone, and where to is said."""
    (news,) = wire.read("issues", delivery(action="deleted", issue=issue()), "bounty")
    assert isinstance(news, IssueNews)
    assert news.gone == "the issue was deleted"
    there = {"new_issue": issue(number=3), "new_repository": {"id": 1, "full_name": "acme/other"}}
    (news,) = wire.read("issues", delivery(action="transferred", issue=issue(), changes=there), "bounty")
    assert isinstance(news, IssueNews)
    assert news.gone == "the issue was moved to acme/other#3"


@pytest.mark.parametrize(
    ("parts", "state"),
    [
        ({}, PullState.OPENED),
        ({"state": "closed"}, PullState.CLOSED),
        ({"state": "closed", "merged_at": WHEN}, PullState.MERGED),
        ({"state": "closed", "merged_at": WHEN, "base": {**pull()["base"], "ref": "next"}}, PullState.CLOSED),
    ],
)
def test_only_a_merge_into_the_default_branch_is_one(parts: dict[str, Any], state: PullState) -> None:
    """A merge elsewhere brings nothing to users yet."""
    (news,) = wire.read("pull_request", delivery(action="closed", pull_request=pull(**parts)), "bounty")
    assert isinstance(news, PullNews)
    assert (news.pull.state, news.named) == (state, (7,))


def test_a_pull_request_without_a_body_or_an_author() -> None:
    """A null body claims nothing; an account that was deleted is nobody's."""
    (news,) = wire.read("pull_request", delivery(action="opened", pull_request=pull(body=None, user=None)), "bounty")
    assert isinstance(news, PullNews)
    assert (news.named, news.pull.author_id) == ((), 0)


def test_an_edit_names_what_it_no_longer_closes() -> None:
    """So that the claim can be taken off."""
    edit = {"body": {"from": "Closes #7 and fixes #9"}}
    (news,) = wire.read("pull_request", delivery(action="edited", pull_request=pull(body="no"), changes=edit), "bounty")
    assert isinstance(news, PullNews)
    assert (news.pull.closes, news.named) == ((), (7, 9))


@pytest.mark.parametrize("action", ["edited", "labeled", "synchronize", "assigned"])
def test_after_the_merge_only_its_own_delivery_speaks(action: str) -> None:
    """Who was merged once could else write himself into any later bounty."""
    merged = pull(merged_at="2026-11-20T14:00:00Z", state="closed")
    edit = {"body": {"from": "nothing"}}
    assert wire.read("pull_request", delivery(action=action, pull_request=merged, changes=edit), "bounty") == ()
    assert wire.read("pull_request", delivery(action="closed", pull_request=merged), "bounty")


def test_an_edit_from_nothing() -> None:
    """The old body may be null as well."""
    edit = {"body": {"from": None}}
    (news,) = wire.read("pull_request", delivery(action="edited", pull_request=pull(), changes=edit), "bounty")
    assert isinstance(news, PullNews)
    assert news.named == (7,)


def test_installations_and_new_names() -> None:
    """Repositories come, go, and are called otherwise."""
    one = {"id": 1, "full_name": "acme/one"}
    two = {"id": 2, "full_name": "acme/two"}
    assert wire.read("installation", delivery(action="created", repositories=[one]), "bounty") == (
        RepositoryNews(77, 1, "acme/one", enabled=True),
    )
    assert wire.read("installation", delivery(action="deleted", repositories=[one]), "bounty") == (
        RepositoryNews(77, 1, "acme/one", enabled=False),
    )
    told = delivery(action="added", repositories_added=[one], repositories_removed=[two])
    assert wire.read("installation_repositories", told, "bounty") == (
        RepositoryNews(77, 1, "acme/one", enabled=True),
        RepositoryNews(77, 2, "acme/two", enabled=False),
    )
    assert wire.read("repository", delivery(action="renamed"), "bounty") == (
        RepositoryNews(77, 6_000_000_001, HERE, enabled=True),
    )


@pytest.mark.parametrize(
    ("event", "parts"),
    [
        ("repository", {"action": "deleted", "issue": issue()}),
        ("repository", {"action": "deleted", "starred_at": None}),
        ("repository", {"action": "edited", "pull_request": pull()}),
        ("installation", {"action": "deleted", "repositories": [], "issue": issue()}),
        ("issues", {"action": "deleted", "issue": issue(), "pull_request": pull()}),
        ("issues", {"action": "closed", "pull_request": pull()}),
        ("pull_request", {"action": "closed", "issue": issue()}),
        ("installation_repositories", {"action": "deleted", "repositories": []}),
    ],
)
def test_a_delivery_under_the_header_of_another_event_is_refused(event: str, parts: dict[str, Any]) -> None:
    """The header is not signed: a captured `issues.deleted` sent as `repository` disabled the repository."""
    with pytest.raises(BadInput, match=f"not that of the event {event}"):
        wire.read(event, delivery(**parts), "bounty")


@pytest.mark.parametrize("event", ["ping", "star", "issues", "pull_request", ""])
def test_what_is_of_no_interest(event: str) -> None:
    """It is taken, and nothing is done."""
    assert wire.read(event, delivery(action="created"), "bounty") == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        delivery(action="labeled", issue=issue())[:-20],
        delivery(action="labeled", issue=issue(id="7")),
        delivery(action="labeled", issue=issue(id=2**63)),
        delivery(action="labeled", issue=issue(), installation={"id": -1}),
        delivery(action="labeled", issue=issue(updated_at="yesterday")),
        delivery(action="opened", pull_request=pull(head={})),
        b'{"action":"' + b"x" * wire.MOST_BYTES + b'"}',
    ],
)
def test_what_cannot_be_read(body: bytes) -> None:
    """Truncated, huge, or not GitHub's."""
    with pytest.raises(BadInput):
        wire.read("pull_request" if b"pull_request" in body else "issues", body, "bounty")
