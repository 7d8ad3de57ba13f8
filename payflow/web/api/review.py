"""What people who work here decide: reviewers say yes or no, operators try again or give back."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import Field

from machines.core.clock import Millis
from machines.payout.data import PayoutRecord
from payflow.desk.payouts import Desk
from payflow.desk.person import OPERATES, REVIEWS, STAFF
from payflow.desk.providers import AccessScope
from payflow.desk.values import Applied
from payflow.web.api import answers
from payflow.web.http.endpoints import AnyEndpoint, ApiEndpoint, EndpointCall, JsonReply
from payflow.web.http.payloads import Fingerprint, NoBody, NoQuery, Query, RequestBody, Words


class ReasonGiven(RequestBody):
    """Why."""

    reason: Words


class ApprovalGiven(RequestBody):
    """A yes to what was seen."""

    fingerprint: Fingerprint
    """Of the review, as it was listed: it names amount and destination, so a yes to something else is refused."""


class ReviewsAsked(Query):
    """How much of the line."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    """How many."""


class ReviewsApi:
    """The room of the people."""

    def __init__(self, desk: Desk, scope: AccessScope) -> None:
        self._desk = desk
        self._scope = scope

    def endpoints(self) -> Iterable[AnyEndpoint]:
        refuses = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        decided = partial(ApiEndpoint, "POST", answers={HTTPStatus.OK: answers.ReviewShown}, refuses=refuses)
        yield ApiEndpoint(
            "GET", "/api/reviews", "List what waits for people, the oldest first.", STAFF, self.queue,
            {HTTPStatus.OK: answers.ReviewsShown}, query=ReviewsAsked,
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

    async def queue(self, call: EndpointCall[NoBody, ReviewsAsked]) -> JsonReply:
        found, more = await self._desk.waiting(call.query.limit)
        now = await self._desk.store.records.now()
        return JsonReply(answers.ReviewsShown(reviews=[self._shown(record, now) for record in found], more=more))

    def _shown(self, record: PayoutRecord, now: Millis) -> answers.ReviewShown:
        return answers.review(record, answers.expected_at(record, self._desk.schedule, now))

    async def approve(self, call: EndpointCall[ApprovalGiven, NoQuery]) -> JsonReply:
        payout = await self._scope.payout(call.caller, call.path["id"])
        applied = await self._desk.approve(payout.id, call.caller.person, call.body.fingerprint)
        return await self._after(applied)

    async def reject(self, call: EndpointCall[ReasonGiven, NoQuery]) -> JsonReply:
        return await self._decided(call, self._desk.reject, call.body.reason)

    async def retry(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        return await self._decided(call, self._desk.retry)

    async def release(self, call: EndpointCall[ReasonGiven, NoQuery]) -> JsonReply:
        payout = await self._scope.payout(call.caller, call.path["id"])
        return await self._after(await self._desk.release(payout.id, call.caller.person, call.body.reason))

    async def _decided(
        self, call: EndpointCall[Any, NoQuery], verb: Callable[..., Awaitable[Applied]], *said: str
    ) -> JsonReply:
        payout = await self._scope.payout(call.caller, call.path["id"])
        return await self._after(await verb(payout.id, call.caller.who, *said))

    async def _after(self, applied: Applied) -> JsonReply:
        return JsonReply(self._shown(applied.after, await self._desk.store.records.now()))
