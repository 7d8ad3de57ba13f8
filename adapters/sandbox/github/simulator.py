"""The simulated GitHub at work: people do things, deliveries go out, the API answers.

`/_sandbox` makes people do things over HTTP, for whoever is in another process:

GET   /_sandbox                              repositories, people, issues, pull requests, comments
POST  /_sandbox/repositories                 {"name":"acme/widgets","roles":{"mia":"admin"}}
POST  /_sandbox/{repository}/issues          {"title":"It hurts","labels":["bounty"]}
POST  /_sandbox/{repository}/issues/{n}/{do} label, unlabel, close, reopen, delete
POST  /_sandbox/{repository}/pulls           {"author":"ann","title":"Heal it","body":"Closes #1","base":"main"}
POST  /_sandbox/{repository}/pulls/{n}/{do}  merge, close, revert; a merge closes {"closes":[1]}

A repository is named by its number.
"""

import hashlib
import hmac
import json
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from cryptography.hazmat.primitives import serialization

from adapters.sandbox.github import payloads
from adapters.sandbox.github.api import Api, app_key
from adapters.sandbox.github.town import Issue, Pull, SimulatedRepository, Town
from adapters.sandbox.magic import Webhook
from adapters.sandbox.server import CallRefused, Route, ServedAnswer, ServedCall, Server, ok
from adapters.sandbox.simulator import Simulator
from machines.core.clock import Clock

Json = dict[str, Any]

SECRET = "sandbox webhook secret"  # noqa: S105  (of a simulator)


class GitHubSimulator(Simulator):
    """A simulated GitHub: `how` says how the next deliveries travel, `town` is the truth."""

    def __init__(self, clock: Clock, secret: str = SECRET) -> None:
        super().__init__(clock)
        self.town = Town()
        self.courier.retries = False
        self.secret = secret
        self.how = Webhook.ONCE
        self.api = Api(self.town, self.agenda)
        routes = [*GitHubControl(self).routes(), *self.api.routes()]
        self.server = Server(self.agenda, self.faults, routes, _unavailable, _at_once)

    @property
    def private_key(self) -> str:
        """The key of the app that is installed here."""
        form = serialization.PrivateFormat.PKCS8
        return app_key().private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()

    # ── what people do ───────────────────────────────────────────────────────────────────────────────────────────────

    def install(self, name: str, **roles: str) -> SimulatedRepository:
        """Somebody makes a repository and installs the app; `roles` says what people may do there."""
        home = SimulatedRepository(next(self.town.ids), name, next(self.town.ids))
        for login, role in roles.items():
            home.roles[self.town.person(login).id] = role
        self.town.repositories[home.id] = home
        self.deliver("installation", home, {"action": "created", "repositories": [payloads.repository(home)]})
        return home

    def open_issue(self, home: SimulatedRepository, title: str, *labels: str) -> Issue:
        """Somebody reports something."""
        issue = Issue(next(self.town.ids), home.next_number, title)
        home.issues[issue.number] = issue
        self.tell_issue("opened", home, issue)
        for label in labels:
            self.label(home, issue, label)
        return issue

    def label(self, home: SimulatedRepository, issue: Issue, label: str = "bounty") -> None:
        """A maintainer puts a label on."""
        issue.labels.add(label)
        issue.events.append(("labeled", label, self.now()))
        self.tell_issue("labeled", home, issue, label={"name": label})

    def unlabel(self, home: SimulatedRepository, issue: Issue, label: str = "bounty") -> None:
        """A maintainer takes a label off."""
        issue.labels.discard(label)
        issue.events.append(("unlabeled", label, self.now()))
        self.tell_issue("unlabeled", home, issue, label={"name": label})

    def close_issue(self, home: SimulatedRepository, issue: Issue) -> None:
        """Somebody closes an issue."""
        issue.open = False
        issue.events.append(("closed", "", self.now()))
        self.tell_issue("closed", home, issue)

    def reopen_issue(self, home: SimulatedRepository, issue: Issue) -> None:
        """Somebody opens it again."""
        issue.open = True
        issue.events.append(("reopened", "", self.now()))
        self.tell_issue("reopened", home, issue)

    def delete_issue(self, home: SimulatedRepository, issue: Issue) -> None:
        """Somebody deletes it."""
        issue.deleted = True
        self.tell_issue("deleted", home, issue)

    def open_pull(  # a pull request has many sides
        self,
        home: SimulatedRepository,
        author: str | None,
        title: str,
        body: str | None = None,
        *,
        base: str = "",
        fork: bool = True,
    ) -> Pull:
        """Somebody offers work."""
        number = home.next_number
        sha = hashlib.sha1(f"{home.id}/{number}".encode(), usedforsecurity=False).hexdigest()
        person = None if author is None else self.town.person(author)
        pull = Pull(next(self.town.ids), number, title, body, person, sha, base or home.default_branch, fork)
        home.pulls[number] = pull
        self.tell_pull("opened", home, pull)
        return pull

    def close_pull(self, home: SimulatedRepository, pull: Pull) -> None:
        """Somebody closes it without a merge."""
        pull.open = False
        self.tell_pull("closed", home, pull)

    def merge(self, home: SimulatedRepository, pull: Pull, *closes: Issue) -> None:
        """A maintainer merges it; GitHub closes what it says to close."""
        pull.open, pull.merged_at = False, self.now()
        self.tell_pull("closed", home, pull)
        for issue in closes:
            self.close_issue(home, issue)

    def revert(self, home: SimulatedRepository, pull: Pull, author: str | None = None) -> Pull:
        """Somebody presses the button that takes a merged pull request back, and a maintainer merges what it made."""
        body = f"Reverts {home.name}#{pull.number}"
        made = self.open_pull(home, author, f'Revert "{pull.title}"', body, fork=False)
        self.merge(home, made)
        return made

    # ── deliveries ───────────────────────────────────────────────────────────────────────────────────────────────────

    def now(self) -> int:
        return int(self.agenda.now())

    def tell_issue(self, action: str, home: SimulatedRepository, issue: Issue, **more: Any) -> None:
        issue.updated_at = self.now()
        self.deliver("issues", home, {"action": action, "issue": payloads.issue(home, issue), **more})

    def tell_pull(self, action: str, home: SimulatedRepository, pull: Pull, **more: Any) -> None:
        pull.updated_at = self.now()
        body = {"action": action, "number": pull.number, "pull_request": payloads.pull(home, pull), **more}
        self.deliver("pull_request", home, body)

    def deliver(self, event: str, home: SimulatedRepository, body: Json) -> None:
        payload = {**body, "installation": {"id": home.installation}}
        if event != "installation":
            payload["repository"] = payloads.repository(home)
        raw = json.dumps(payload).encode()
        self.courier.post(raw, self.signed(event, raw, str(uuid.uuid4())), self.how)

    def signed(self, event: str, raw: bytes, delivery: str) -> dict[str, str]:
        """Give the headers of a delivery, both signatures included."""
        return {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": delivery,
            "X-Hub-Signature": f"sha1={hmac.digest(self.secret.encode(), raw, 'sha1').hex()}",
            "X-Hub-Signature-256": f"sha256={hmac.digest(self.secret.encode(), raw, 'sha256').hex()}",
        }


class GitHubControl:
    """Lets somebody else do what people do."""

    def __init__(self, simulator: GitHubSimulator) -> None:
        self._simulator = simulator

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

    def _overview(self, _: ServedCall) -> ServedAnswer:
        town = self._simulator.town
        return ok(
            {
                "people": [payloads.user(one) for one in town.people.values()],
                "repositories": [
                    {
                        **payloads.repository(home),
                        "issues": [
                            {**payloads.issue(home, one), "comments": [payloads.comment(each) for each in one.comments]}
                            for one in home.issues.values()
                        ],
                        "pulls": [payloads.pull(home, one) for one in home.pulls.values()],
                    }
                    for home in town.repositories.values()
                ],
            }
        )

    def _install(self, call: ServedCall) -> ServedAnswer:
        roles = {str(login): str(role) for login, role in dict(call.body.get("roles") or {}).items()}
        made = self._simulator.install(str(call.body.get("name") or "acme/widgets"), **roles)
        return ok(payloads.repository(made))

    def _open_issue(self, call: ServedCall) -> ServedAnswer:
        home = self._home(call)
        labels = [str(one) for one in call.body.get("labels") or ()]
        return ok(
            payloads.issue(home, self._simulator.open_issue(home, str(call.body.get("title") or "An issue"), *labels))
        )

    def _on_issue(self, call: ServedCall) -> ServedAnswer:
        deeds: Mapping[str, Callable[[SimulatedRepository, Issue], None]] = {
            "label": self._simulator.label,
            "unlabel": self._simulator.unlabel,
            "close": self._simulator.close_issue,
            "reopen": self._simulator.reopen_issue,
            "delete": self._simulator.delete_issue,
        }
        home = self._home(call)
        issue = home.issues.get(_number(call))
        if issue is None or call.params["do"] not in deeds:
            raise _nothing(call)
        deeds[call.params["do"]](home, issue)
        return ok(payloads.issue(home, issue))

    def _open_pull(self, call: ServedCall) -> ServedAnswer:
        home = self._home(call)
        author, title = str(call.body.get("author") or "ann"), str(call.body.get("title") or "A pull request")
        body = None if call.body.get("body") is None else str(call.body["body"])
        made = self._simulator.open_pull(home, author, title, body, base=str(call.body.get("base") or ""))
        return ok(payloads.pull(home, made))

    def _on_pull(self, call: ServedCall) -> ServedAnswer:
        home = self._home(call)
        pull = home.pulls.get(_number(call))
        if pull is None or call.params["do"] not in ("merge", "close", "revert"):
            raise _nothing(call)
        if call.params["do"] == "close":
            self._simulator.close_pull(home, pull)
        elif call.params["do"] == "revert":
            pull = self._simulator.revert(home, pull)
        else:
            closes = [home.issues[int(one)] for one in call.body.get("closes") or () if int(one) in home.issues]
            self._simulator.merge(home, pull, *closes)
        return ok(payloads.pull(home, pull))

    def _home(self, call: ServedCall) -> SimulatedRepository:
        name = call.params["repository"]
        home = self._simulator.town.repositories.get(int(name)) if name.isdecimal() else None
        if home is None:
            raise _nothing(call)
        return home


def _number(call: ServedCall) -> int:
    text = call.params["number"]
    return int(text) if text.isdecimal() else 0


def _nothing(call: ServedCall) -> CallRefused:
    words = f"There is no {call.path}."
    return CallRefused(words, ServedAnswer(HTTPStatus.NOT_FOUND, {"error": words}))


def _unavailable(_: ServedCall) -> ServedAnswer:
    return ServedAnswer(HTTPStatus.SERVICE_UNAVAILABLE, {"message": "Service unavailable"})


async def _at_once() -> None:
    pass
