"""What people who work here decide: reviewers say yes or no, operators try again or give back."""

from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from machines.core.clock import Millis
from machines.payout.data import PayoutRecord
from machines.payout.lifecycle import FAILED, REQUESTED
from payflow.config import Settings
from payflow.desk.payouts import MACHINE, Desk
from payflow.desk.person import STAFF
from payflow.store.registers.tokens import Role
from payflow.web.api import answers
from payflow.web.api.payloads import ApprovalGiven, Asked, Empty, NothingAsked, ReasonGiven
from payflow.web.api.reach import Reach
from payflow.web.http import problems
from payflow.web.http.endpoints import AnyEndpoint, Call, Endpoint, Reply

REVIEWS = frozenset({Role.REVIEWER})
OPERATES = frozenset({Role.OPERATOR})
# What was asked for a moment ago and is still with the rules stands in the same line as what waits for people.
MOST_LOOKED_THROUGH = 1000


class ReviewsAsked(Asked):
    """How much of the line."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    """How many."""


class Review:
    """The room of the people."""

    def __init__(self, desk: Desk, reach: Reach, settings: Settings) -> None:
        self._desk = desk
        self._reach = reach
        self._listing = desk.store.listing
        self._retries = len(settings.retry_after_s)

    def endpoints(self) -> Iterable[AnyEndpoint]:
        """List what may be done here."""
        refuses = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        decided = partial(Endpoint, "POST", answers={HTTPStatus.OK: answers.Review}, refuses=refuses)
        yield Endpoint(
            "GET", "/api/reviews", "List what waits for people, the oldest first.", STAFF, self.queue,
            {HTTPStatus.OK: answers.Reviews}, query=ReviewsAsked,
        )  # fmt: skip
        yield decided(
            "/api/reviews/{id}/approve", "Say yes to the amount and the destination that you saw.", REVIEWS,
            self.approve, body=ApprovalGiven,
        )  # fmt: skip
        yield decided(
            "/api/reviews/{id}/reject", "Say no; the provider reads why.", REVIEWS, self.reject, body=ReasonGiven
        )
        yield decided("/api/payouts/{id}/retry", "Try a failed payout once more.", OPERATES, self.retry)
        yield decided(
            "/api/payouts/{id}/release", "Give back a failed payout, if every attempt is proven unpaid.", OPERATES,
            self.release, body=ReasonGiven,
        )  # fmt: skip

    async def queue(self, call: Call[Empty, ReviewsAsked]) -> Reply:
        """List what waits for people."""
        return Reply(await self.waiting(call.query.limit))

    async def waiting(self, limit: int) -> answers.Reviews:
        """Gather what waits for people, the oldest first."""
        found: list[PayoutRecord] = []
        for state in (REQUESTED, FAILED):
            there = await self._listing.in_state(MACHINE, state, MOST_LOOKED_THROUGH)
            found += [stored.record for stored in there if self._waits(stored.record)]
        found.sort(key=lambda record: record.since)
        now = await self._desk.store.records.now()
        shown = [self._shown(record, now) for record in found[:limit]]
        return answers.Reviews(reviews=shown, more=len(found) > len(shown))

    def _waits(self, record: PayoutRecord) -> bool:
        """Whether it waits for a person, and not for the rules or for a retry by itself."""
        data = record.data
        if record.state == REQUESTED:
            return data.assessed
        return data.correction is not None or data.failures > self._retries

    def _shown(self, record: PayoutRecord, now: Millis) -> answers.Review:
        return answers.review(record, answers.expected_at(record, self._desk.schedule, now))

    async def approve(self, call: Call[ApprovalGiven, NothingAsked]) -> Reply:
        """Say yes."""
        record = await self._reach.payout(call.caller, call.path["id"])
        with problems.deciding():
            applied = await self._desk.approve(record.id, call.caller.who, call.body.fingerprint)
        return await self._told(applied.after)

    async def reject(self, call: Call[ReasonGiven, NothingAsked]) -> Reply:
        """Say no."""
        record = await self._reach.payout(call.caller, call.path["id"])
        with problems.deciding():
            applied = await self._desk.reject(record.id, call.caller.who, call.body.reason)
        return await self._told(applied.after)

    async def retry(self, call: Call[Empty, NothingAsked]) -> Reply:
        """Try once more."""
        record = await self._reach.payout(call.caller, call.path["id"])
        with problems.deciding():
            applied = await self._desk.retry(record.id, call.caller.who)
        return await self._told(applied.after)

    async def release(self, call: Call[ReasonGiven, NothingAsked]) -> Reply:
        """Give back."""
        record = await self._reach.payout(call.caller, call.path["id"])
        with problems.deciding():
            applied = await self._desk.release(record.id, call.caller.who, call.body.reason)
        return await self._told(applied.after)

    async def _told(self, record: PayoutRecord) -> Reply:
        return Reply(self._shown(record, await self._desk.store.records.now()))
