"""The simulated GitHub at work: people do things, deliveries go out, the API answers."""

import hashlib
import hmac
import json
import uuid
from http import HTTPStatus
from typing import Any

from cryptography.hazmat.primitives import serialization

from adapters.sandbox.agenda import Agenda
from adapters.sandbox.courier import Courier
from adapters.sandbox.faults import Faults
from adapters.sandbox.github import payloads
from adapters.sandbox.github.api import Api, app_key
from adapters.sandbox.github.control import GitHubControl
from adapters.sandbox.github.town import Issue, Pull, Repository, Town
from adapters.sandbox.magic import Webhook
from adapters.sandbox.running import Running
from adapters.sandbox.server import Answer, Call, Server
from machines.core.clock import Clock

Json = dict[str, Any]

SECRET = "sandbox webhook secret"  # noqa: S105  (of a simulator)


class GitHubSimulator(Running):
    """A GitHub that runs in this process and listens on loopback.

    `how` says how the next deliveries travel, `faults` how the API misbehaves, `town` is the truth.
    """

    def __init__(self, clock: Clock, secret: str = SECRET) -> None:
        self.agenda = Agenda(clock)
        self.town = Town()
        self.faults = Faults()
        self.courier = Courier(self.agenda)
        self.courier.retries = False
        self.secret = secret
        self.how = Webhook.ONCE
        self.api = Api(self.town, self.agenda)
        routes = [*GitHubControl(self).routes(), *self.api.routes()]
        self.server = Server(self.agenda, self.faults, routes, _unavailable, _at_once)

    @property
    def url(self) -> str:
        """Where its API listens."""
        return self.server.url

    @property
    def private_key(self) -> str:
        """The key of the app that is installed here."""
        form = serialization.PrivateFormat.PKCS8
        return app_key().private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()

    async def start(self, port: int = 0) -> None:
        """Open for business."""
        await self.courier.open()
        await self.server.start(port)

    async def stop(self) -> None:
        """Close."""
        await self.server.stop()
        await self.courier.close()

    async def told(self) -> None:
        """Wait until every delivery that is due was made."""
        await self.courier.deliver_due()

    # ── what people do ───────────────────────────────────────────────────────────────────────────────────────────────

    def install(self, name: str, **roles: str) -> Repository:
        """Somebody makes a repository and installs the app; `roles` says what people may do there."""
        home = Repository(next(self.town.ids), name, next(self.town.ids))
        for login, role in roles.items():
            home.roles[self.town.person(login).id] = role
        self.town.repositories[home.id] = home
        self._deliver("installation", home, {"action": "created", "repositories": [payloads.repository(home)]})
        return home

    def uninstall(self, home: Repository) -> None:
        """Somebody takes the app away."""
        self._deliver("installation", home, {"action": "deleted", "repositories": [payloads.repository(home)]})

    def rename(self, home: Repository, name: str) -> None:
        """Somebody renames a repository, or hands it over."""
        home.old_names.add(home.name.casefold())
        home.name = name
        self._deliver("repository", home, {"action": "renamed"})

    def open_issue(self, home: Repository, title: str, *labels: str) -> Issue:
        """Somebody reports something."""
        issue = Issue(next(self.town.ids), home.next_number, title)
        home.issues[issue.number] = issue
        self._issue("opened", home, issue)
        for label in labels:
            self.label(home, issue, label)
        return issue

    def label(self, home: Repository, issue: Issue, label: str = "bounty") -> None:
        """A maintainer puts a label on."""
        issue.labels.add(label)
        issue.events.append(("labeled", label, self._now()))
        self._issue("labeled", home, issue, label={"name": label})

    def unlabel(self, home: Repository, issue: Issue, label: str = "bounty") -> None:
        """A maintainer takes a label off."""
        issue.labels.discard(label)
        issue.events.append(("unlabeled", label, self._now()))
        self._issue("unlabeled", home, issue, label={"name": label})

    def close_issue(self, home: Repository, issue: Issue) -> None:
        """Somebody closes an issue."""
        issue.open = False
        issue.events.append(("closed", "", self._now()))
        self._issue("closed", home, issue)

    def reopen_issue(self, home: Repository, issue: Issue) -> None:
        """Somebody opens it again."""
        issue.open = True
        issue.events.append(("reopened", "", self._now()))
        self._issue("reopened", home, issue)

    def delete_issue(self, home: Repository, issue: Issue) -> None:
        """Somebody deletes it."""
        issue.deleted = True
        self._issue("deleted", home, issue)

    def transfer_issue(self, home: Repository, issue: Issue, there: Repository) -> Issue:
        """Somebody moves it to another repository, where it is a new one."""
        moved = Issue(next(self.town.ids), there.next_number, issue.title, set(issue.labels), issue.open)
        moved.events = [("labeled", label, self._now()) for label in sorted(moved.labels)]
        there.issues[moved.number] = moved
        issue.deleted = True
        changes = {"new_issue": payloads.issue(there, moved), "new_repository": payloads.repository(there)}
        self._issue("transferred", home, issue, changes=changes)
        return moved

    def open_pull(  # a pull request has many sides
        self,
        home: Repository,
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
        self._pull("opened", home, pull)
        return pull

    def edit_pull(self, home: Repository, pull: Pull, body: str | None) -> None:
        """Its author says something else."""
        before, pull.body = pull.body, body
        self._pull("edited", home, pull, changes={"body": {"from": before}})

    def push(self, home: Repository, pull: Pull) -> None:
        """Its author adds a commit."""
        pull.sha = hashlib.sha1(pull.sha.encode(), usedforsecurity=False).hexdigest()
        self._pull("synchronize", home, pull)

    def close_pull(self, home: Repository, pull: Pull) -> None:
        """Somebody closes it without a merge."""
        pull.open = False
        self._pull("closed", home, pull)

    def merge(self, home: Repository, pull: Pull, *closes: Issue) -> None:
        """A maintainer merges it; GitHub closes what it says to close."""
        pull.open, pull.merged_at = False, self._now()
        self._pull("closed", home, pull)
        for issue in closes:
            self.close_issue(home, issue)

    def revert(self, home: Repository, pull: Pull, author: str | None = None) -> Pull:
        """Somebody presses the button that takes a merged pull request back, and a maintainer merges what it made."""
        body = f"Reverts {home.name}#{pull.number}"
        made = self.open_pull(home, author, f'Revert "{pull.title}"', body, fork=False)
        self.merge(home, made)
        return made

    # ── deliveries ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _now(self) -> int:
        return int(self.agenda.now())

    def _issue(self, action: str, home: Repository, issue: Issue, **more: Any) -> None:
        issue.updated_at = self._now()
        self._deliver("issues", home, {"action": action, "issue": payloads.issue(home, issue), **more})

    def _pull(self, action: str, home: Repository, pull: Pull, **more: Any) -> None:
        pull.updated_at = self._now()
        body = {"action": action, "number": pull.number, "pull_request": payloads.pull(home, pull), **more}
        self._deliver("pull_request", home, body)

    def _deliver(self, event: str, home: Repository, body: Json) -> None:
        told = {**body, "installation": {"id": home.installation}}
        if event != "installation":
            told["repository"] = payloads.repository(home)
        raw = json.dumps(told).encode()
        self.courier.post(raw, self.signed(event, raw, str(uuid.uuid4())), self.how)

    def signed(self, event: str, raw: bytes, delivery: str) -> dict[str, str]:
        """Give the headers of a delivery, both signatures included."""
        return {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": delivery,
            "X-Hub-Signature": f"sha1={hmac.digest(self.secret.encode(), raw, 'sha1').hex()}",
            "X-Hub-Signature-256": f"sha256={hmac.digest(self.secret.encode(), raw, 'sha256').hex()}",
        }


def _unavailable(_: Call) -> Answer:
    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, {"message": "Service unavailable"})


async def _at_once() -> None:
    pass
