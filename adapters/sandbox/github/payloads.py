"""How GitHub writes what it has, in deliveries and answers alike."""

from datetime import UTC, datetime
from typing import Any

from adapters.sandbox.github.town import Comment, GitHubUser, Issue, Pull, SimulatedRepository

Json = dict[str, Any]


def stamp(millis: int) -> str:
    """Write a time: to the second."""
    return f"{datetime.fromtimestamp(millis // 1000, UTC):%Y-%m-%dT%H:%M:%S}Z"


def user(person: GitHubUser) -> Json:
    """Write an account."""
    return {"id": person.id, "login": person.login, "type": "User"}


def repository(one: SimulatedRepository) -> Json:
    """Write a repository."""
    owner, _, name = one.name.partition("/")
    return {
        "id": one.id,
        "name": name,
        "full_name": one.name,
        "owner": {"login": owner},
        "private": one.private,
        "default_branch": one.default_branch,
    }


def issue(home: SimulatedRepository, one: Issue) -> Json:
    """Write an issue."""
    return {
        "id": one.id,
        "number": one.number,
        "title": one.title,
        "state": "open" if one.open else "closed",
        "labels": [{"name": label} for label in sorted(one.labels)],
        "updated_at": stamp(one.updated_at),
        "repository_url": f"/repos/{home.name}",
        "body": None,
    }


def pull(home: SimulatedRepository, one: Pull) -> Json:
    """Write a pull request."""
    written = repository(home)
    return {
        "id": one.id,
        "number": one.number,
        "title": one.title,
        "body": one.body,
        "user": None if one.author is None else user(one.author),
        "state": "open" if one.open else "closed",
        "merged_at": stamp(one.merged_at) if one.merged_at else None,
        "updated_at": stamp(one.updated_at),
        "head": {"sha": one.sha, "ref": "work", "repo": None if one.fork else written},
        "base": {"ref": one.base, "repo": written},
    }


def event(kind: str, label: str, at: int) -> Json:
    """Write something that happened to an issue."""
    about = {"label": {"name": label}} if label else {}
    return {"event": kind, "created_at": stamp(at), **about}


def comment(one: Comment) -> Json:
    """Write a comment."""
    return {"id": one.id, "body": one.body, "performed_via_github_app": {"id": one.app} if one.app else None}
