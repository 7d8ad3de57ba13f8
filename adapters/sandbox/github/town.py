"""What a simulated GitHub has: people, repositories, issues, pull requests, comments."""

from dataclasses import dataclass, field
from itertools import count

# Ids are as large as today's: they outgrew 32 bits, those of comments long ago.
FIRST_ID = 5_000_000_000
GHOST = "ghost"


@dataclass(slots=True)
class GitHubUser:
    """An account."""

    id: int
    login: str


@dataclass(slots=True)
class Comment:
    """What somebody, or an app, wrote under an issue."""

    id: int
    body: str
    app: int = 0
    edits: int = 0


@dataclass(slots=True)
class Issue:
    """An issue."""

    id: int
    number: int
    title: str
    labels: set[str] = field(default_factory=set)
    open: bool = True
    updated_at: int = 0
    deleted: bool = False
    locked: bool = False
    comments: list[Comment] = field(default_factory=list)
    events: list[tuple[str, str, int]] = field(default_factory=list)
    """What happened to it: the event, the label where it was about one, when."""


@dataclass(slots=True)
class Pull:
    """A pull request."""

    id: int
    number: int
    title: str
    body: str | None
    author: GitHubUser | None
    sha: str
    base: str
    fork: bool = False
    open: bool = True
    merged_at: int = 0
    updated_at: int = 0


@dataclass(slots=True)
class SimulatedRepository:
    """A repository."""

    id: int
    name: str
    installation: int
    default_branch: str = "main"
    roles: dict[int, str] = field(default_factory=dict)
    """What people may do, by their number."""
    issues: dict[int, Issue] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    old_names: set[str] = field(default_factory=set)
    private: bool = False
    blocked: bool = False
    """Whether GitHub shows it to nobody, as after a takedown."""

    @property
    def next_number(self) -> int:
        """Issues and pull requests share their numbers."""
        return 1 + max([0, *self.issues, *self.pulls])


class Town:
    """All of it."""

    def __init__(self) -> None:
        self.people: dict[int, GitHubUser] = {}
        self.repositories: dict[int, SimulatedRepository] = {}
        self.ids = count(FIRST_ID)

    def person(self, login: str) -> GitHubUser:
        """Find an account, or make it."""
        for one in self.people.values():
            if one.login.casefold() == login.casefold():
                return one
        made = GitHubUser(next(self.ids), login)
        self.people[made.id] = made
        return made

    def repository(self, name: str) -> SimulatedRepository | None:
        """Find a repository by its name, or by one that it had."""
        wanted = name.casefold()
        for one in self.repositories.values():
            if wanted == one.name.casefold() or wanted in one.old_names:
                return one
        return None
