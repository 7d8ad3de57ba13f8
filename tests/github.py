"""A simulated GitHub where people do more than the sandbox lets them."""

import hashlib

from adapters.sandbox.github import payloads
from adapters.sandbox.github.simulator import GitHubSimulator
from adapters.sandbox.github.town import Issue, Pull, SimulatedRepository


class BusyGitHub(GitHubSimulator):
    """Repositories are renamed and taken away, issues move, pull requests change."""

    def uninstall(self, home: SimulatedRepository) -> None:
        """Somebody takes the app away."""
        self.deliver("installation", home, {"action": "deleted", "repositories": [payloads.repository(home)]})

    def rename(self, home: SimulatedRepository, name: str) -> None:
        """Somebody renames a repository, or hands it over."""
        home.old_names.add(home.name.casefold())
        home.name = name
        self.deliver("repository", home, {"action": "renamed"})

    def transfer_issue(self, home: SimulatedRepository, issue: Issue, there: SimulatedRepository) -> Issue:
        """Somebody moves it to another repository, where it is a new one."""
        moved = Issue(next(self.town.ids), there.next_number, issue.title, set(issue.labels), issue.open)
        moved.events = [("labeled", label, self.now()) for label in sorted(moved.labels)]
        there.issues[moved.number] = moved
        issue.deleted = True
        changes = {"new_issue": payloads.issue(there, moved), "new_repository": payloads.repository(there)}
        self.tell_issue("transferred", home, issue, changes=changes)
        return moved

    def edit_pull(self, home: SimulatedRepository, pull: Pull, body: str | None) -> None:
        """Its author says something else."""
        before, pull.body = pull.body, body
        self.tell_pull("edited", home, pull, changes={"body": {"from": before}})

    def push(self, home: SimulatedRepository, pull: Pull) -> None:
        """Its author adds a commit."""
        pull.sha = hashlib.sha1(pull.sha.encode(), usedforsecurity=False).hexdigest()
        self.tell_pull("synchronize", home, pull)
