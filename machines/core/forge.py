"""What the machines know of a forge, where issues and pull requests live: values, and the port to it.

Ids are 64 bits wide.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class PullState(IntEnum):
    """What became of a pull request, in the numbers that others read."""

    OPENED = 0
    MERGED = 1
    """Into the default branch: nothing else counts."""
    CLOSED = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where an issue is."""

    installation: int
    repository: int
    name: str
    """`owner/repository`, as it is called now."""
    number: int

    @property
    def path(self) -> str:
        """How people write it."""
        return f"{self.name}#{self.number}"


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as it is, and which issues of its own repository it says to close."""

    id: int
    number: int
    title: str
    author_id: int
    author: str
    commit_sha: str
    """Of its head."""
    state: PullState
    closes: tuple[int, ...]
    updated_at: int
    """By the forge's clock, in milliseconds."""
    merged_at: int = 0
    reverts: tuple[int, ...] = ()
    """Which pull requests of its own repository it says to take back."""


def concerns(pull: PullRequest, number: int) -> bool:
    """Say whether whoever has the issue of a number wants to know of a pull request."""
    return number in pull.closes or (pull.state == PullState.MERGED and bool(pull.reverts))


@dataclass(frozen=True, slots=True)
class ForgeIssue:
    """An issue as it is."""

    id: int
    number: int
    title: str
    open: bool
    labelled: bool
    updated_at: int
    """By the forge's clock, in milliseconds."""
    labelled_at: int = 0
    """Since when it carries the label, by the same clock; 0 where that was not read."""
    reopened_at: int = 0
    """When it was last opened again, by the same clock; 0 where it never was, or that was not read."""


@dataclass(frozen=True, slots=True)
class ForgeAccount:
    """An account of the forge."""

    id: int
    login: str


class Forge(Protocol):
    """The forge.

    Every method raises `Retryable` when the forge cannot be asked or wants us to slow down, `Rejected` when it refuses.
    """

    async def issue(self, place: Place) -> ForgeIssue | None:
        """Read an issue; None where it is gone."""

    async def pulls(self, place: Place) -> tuple[PullRequest, ...]:
        """List pull requests of the repository that say to close an issue, and merged ones that take others back."""

    async def comment(self, place: Place, known: int, marker: str, text: str) -> int:
        """See to it that the issue has this one comment of ours, and give its id.

        `known` is the id that an earlier call gave, 0 without. A comment of ours is found by its marker, so that none
        is ever made twice.
        """

    async def maintains(self, place: Place, person: int) -> ForgeAccount | None:
        """Give the account if it maintains the repository, None otherwise."""


# ── what it tells by itself ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class IssueNews:
    """An issue changed."""

    place: Place
    issue: ForgeIssue
    gone: str = ""
    """Where it went, or that it was deleted; empty while it is there."""
    private: bool = True
    """Whether only some may see its repository; who does not say so does not publish it."""


@dataclass(frozen=True, slots=True)
class PullNews:
    """A pull request changed."""

    place: Place
    """Of the repository; its number says nothing."""
    pull: PullRequest
    named: tuple[int, ...]
    """Every issue that it says to close, or said so before this change."""


@dataclass(frozen=True, slots=True)
class RepositoryNews:
    """A repository was enabled, disabled or renamed."""

    installation: int
    repository: int
    name: str
    enabled: bool
    private: bool = False
    """Whether only some may see it."""


News = IssueNews | PullNews | RepositoryNews
