"""How messages of the outbox reach people."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from adapters.notify.contacts import rebuilt
from adapters.notify.people import People
from adapters.notify.words import gathered, written
from machines.core.ids import called

FOR_REVIEWERS = frozenset({"review_needed", "winner_unanswered", "acted_alone", "first_sign_in"})
"""Where a message names nobody to whom it goes."""


class OutboxNews(Protocol):
    """A message on its way, as the outbox hands it over."""

    @property
    def id(self) -> str:
        """The same for every delivery."""

    @property
    def at(self) -> int:
        """When it was written."""

    @property
    def body(self) -> Mapping[str, Any]:
        """What it says."""


class Digest(Protocol):
    """Gathers messages to reviewers, so that they get one letter for what came within some minutes."""

    async def deliver(self, post: OutboxNews, send: Callable[[list[dict[str, Any]]], Awaitable[None]]) -> None:
        """Send what was gathered, this message with it; raises `PutOff` when that happens later."""


Deliver: TypeAlias = Callable[[OutboxNews], Awaitable[None]]


def to_people(
    people: People,
    contacts: Callable[[str], Awaitable[Sequence[str]]],
    reviewers: Sequence[str],
    digest: Digest | None = None,
    opened: Callable[[str, str], Sequence[str]] = lambda _, named: named.splitlines(),
) -> Deliver:
    """Tell providers through the contacts of their profiles, and reviewers through theirs, who wait for nobody else.

    `opened` reads the contacts that a message itself names, and whose they are.
    """
    staff = people.apart()

    async def letter(bodies: list[dict[str, Any]]) -> None:
        await staff.tell(reviewers, *gathered(bodies))

    async def deliver(post: OutboxNews) -> None:
        if digest is not None and reviewers and post.body["event"] == "review_needed":
            await digest.deliver(post, letter)
            return
        body = post.body
        if body["event"] in FOR_REVIEWERS and "to" not in body:
            await staff.tell(reviewers, *written(body))
            return
        subject, text = written({**body, "owner": called(body["owner"])})
        # A warning goes to where it was before the change, which the message itself names.
        named = opened(body["owner"], body["to"]) if "to" in body else await contacts(body["owner"])
        await people.tell([url for contact in named if (url := rebuilt(contact))], subject, text)

    return deliver
