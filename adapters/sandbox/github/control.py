"""`/_sandbox` of the simulated GitHub: what people do there, over HTTP, for whoever is in another process.

GET   /_sandbox                              repositories, people, issues, pull requests, comments
POST  /_sandbox/repositories                 {"name":"acme/widgets","roles":{"mia":"admin"}}
POST  /_sandbox/{repository}/issues          {"title":"It hurts","labels":["bounty"]}
POST  /_sandbox/{repository}/issues/{n}/{do} label, unlabel, close, reopen, delete
POST  /_sandbox/{repository}/pulls           {"author":"ann","title":"Heal it","body":"Closes #1","base":"main"}
POST  /_sandbox/{repository}/pulls/{n}/{do}  merge, close, revert; a merge closes {"closes":[1]}

A repository is named by its number.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Protocol

from adapters.sandbox.github import payloads
from adapters.sandbox.github.town import Issue, Pull, Repository, Town
from adapters.sandbox.server import Answer, Call, Route


class Deeds(Protocol):
    """What people do at GitHub."""

    town: Town

    def install(self, name: str, **roles: str) -> Repository:
        """Make a repository with the app."""

    def open_issue(self, home: Repository, title: str, *labels: str) -> Issue:
        """Report something."""

    def label(self, home: Repository, issue: Issue) -> None:
        """Put the label on."""

    def unlabel(self, home: Repository, issue: Issue) -> None:
        """Take it off."""

    def close_issue(self, home: Repository, issue: Issue) -> None:
        """Close an issue."""

    def reopen_issue(self, home: Repository, issue: Issue) -> None:
        """Open it again."""

    def delete_issue(self, home: Repository, issue: Issue) -> None:
        """Delete it."""

    def open_pull(self, home: Repository, author: str | None, title: str, body: str | None, *, base: str) -> Pull:
        """Offer work."""

    def close_pull(self, home: Repository, pull: Pull) -> None:
        """Close a pull request without a merge."""

    def merge(self, home: Repository, pull: Pull, *closes: Issue) -> None:
        """Merge it."""

    def revert(self, home: Repository, pull: Pull) -> Pull:
        """Take a merged one back."""


class GitHubControl:
    """Lets somebody else do what people do."""

    def __init__(self, deeds: Deeds) -> None:
        self._deeds = deeds

    def routes(self) -> list[Route]:
        """List what is answered."""
        home = "/_sandbox/{repository}"
        return [
            Route("GET", "/_sandbox", self._overview),
            Route("POST", "/_sandbox/repositories", self._install),
            Route("POST", f"{home}/issues", self._open_issue),
            Route("POST", f"{home}/issues/{{number}}/{{do}}", self._on_issue),
            Route("POST", f"{home}/pulls", self._open_pull),
            Route("POST", f"{home}/pulls/{{number}}/{{do}}", self._on_pull),
        ]

    def _overview(self, _: Call) -> Answer:
        town = self._deeds.town
        return _ok({"people": [payloads.user(one) for one in town.people.values()], "repositories": _all(town)})

    def _install(self, call: Call) -> Answer:
        roles = {str(login): str(role) for login, role in dict(call.body.get("roles") or {}).items()}
        made = self._deeds.install(str(call.body.get("name") or "acme/widgets"), **roles)
        return _ok(payloads.repository(made))

    def _open_issue(self, call: Call) -> Answer:
        home = self._home(call)
        if home is None:
            return _nothing(call)
        labels = [str(one) for one in call.body.get("labels") or ()]
        return _ok(
            payloads.issue(home, self._deeds.open_issue(home, str(call.body.get("title") or "An issue"), *labels))
        )

    def _on_issue(self, call: Call) -> Answer:
        deeds: Mapping[str, Callable[[Repository, Issue], None]] = {
            "label": self._deeds.label,
            "unlabel": self._deeds.unlabel,
            "close": self._deeds.close_issue,
            "reopen": self._deeds.reopen_issue,
            "delete": self._deeds.delete_issue,
        }
        home = self._home(call)
        issue = home.issues.get(_number(call)) if home else None
        if home is None or issue is None or call.params["do"] not in deeds:
            return _nothing(call)
        deeds[call.params["do"]](home, issue)
        return _ok(payloads.issue(home, issue))

    def _open_pull(self, call: Call) -> Answer:
        home = self._home(call)
        if home is None:
            return _nothing(call)
        author, title = str(call.body.get("author") or "ann"), str(call.body.get("title") or "A pull request")
        body = None if call.body.get("body") is None else str(call.body["body"])
        made = self._deeds.open_pull(home, author, title, body, base=str(call.body.get("base") or ""))
        return _ok(payloads.pull(home, made))

    def _on_pull(self, call: Call) -> Answer:
        home = self._home(call)
        pull = home.pulls.get(_number(call)) if home else None
        if home is None or pull is None or call.params["do"] not in ("merge", "close", "revert"):
            return _nothing(call)
        if call.params["do"] == "close":
            self._deeds.close_pull(home, pull)
        elif call.params["do"] == "revert":
            pull = self._deeds.revert(home, pull)
        else:
            closes = [home.issues[int(one)] for one in call.body.get("closes") or () if int(one) in home.issues]
            self._deeds.merge(home, pull, *closes)
        return _ok(payloads.pull(home, pull))

    def _home(self, call: Call) -> Repository | None:
        name = call.params["repository"]
        return self._deeds.town.repositories.get(int(name)) if name.isdecimal() else None


def _all(town: Town) -> list[payloads.Json]:
    return [
        {
            **payloads.repository(home),
            "issues": [
                {**payloads.issue(home, one), "comments": [payloads.comment(each) for each in one.comments]}
                for one in home.issues.values()
            ],
            "pulls": [payloads.pull(home, one) for one in home.pulls.values()],
        }
        for home in town.repositories.values()
    ]


def _number(call: Call) -> int:
    text = call.params["number"]
    return int(text) if text.isdecimal() else 0


def _ok(body: object) -> Answer:
    return Answer(HTTPStatus.OK, body)


def _nothing(call: Call) -> Answer:
    return Answer(HTTPStatus.NOT_FOUND, {"error": f"There is no {call.path}."})
