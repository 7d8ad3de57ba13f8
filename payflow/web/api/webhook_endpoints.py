"""Where a platform listens: endpoints, their secrets, what was sent to them, and that it is sent once more."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any, Self, TypeAlias

from pydantic import Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from adapters.notify.platforms import LONGEST_URL
from machines.core.clock import DAY, SECOND
from payflow.desk.payouts import Desk
from payflow.desk.person import STAFF
from payflow.desk.providers import AccessScope
from payflow.desk.webhooks.endpoints import (
    IN_THE_SETTINGS,
    LONGEST_NOTE,
    MANAGES,
    MOST_OVERLAP_MS,
    STEERS,
    EndpointChange,
    LoggedAttempt,
    PlatformEndpoints,
)
from payflow.desk.webhooks.events import KINDS
from payflow.shown import iso
from payflow.store.registers.webhook_endpoints import WebhookEndpoint
from payflow.web.api.answers import ApiResponse, Time
from payflow.web.http.endpoints import AnyEndpoint, ApiEndpoint, EndpointCall, JsonReply
from payflow.web.http.payloads import Moment, NoBody, NoQuery, Query, RequestBody, Whole

PLACE = "/api/webhook-endpoints"

EndpointUrl: TypeAlias = Annotated[
    str, Field(max_length=LONGEST_URL, examples=["https://shop.example/hooks/payflow"], min_length=1)
]
EventNames: TypeAlias = Annotated[
    list[Annotated[str, Field(max_length=60), WithJsonSchema({"type": "string", "enum": list(KINDS)})]],
    Field(max_length=2 * len(KINDS)),
]
EndpointNote: TypeAlias = Annotated[str, Field(max_length=LONGEST_NOTE)]


class WebhookEndpointGiven(RequestBody):
    """Somewhere to listen."""

    url: EndpointUrl
    """An https:// address of the internet; what leads to another network is refused at each delivery."""
    events: EventNames = Field(default_factory=list)
    """What it hears of; an empty list for everything."""
    note: EndpointNote = ""
    """What it is called by whoever made it."""


class WebhookEndpointChanged(RequestBody):
    """What to change of it; what is left out stays as it is."""

    url: EndpointUrl | None = None
    """Where it listens from now on."""
    events: EventNames | None = None
    """What it hears of from now on; an empty list for everything."""
    enabled: bool | None = None
    """Whether anything is sent to it. What happens while it is switched off is in its log, to be replayed."""
    note: EndpointNote | None = None
    """What it is called."""


class RotationGiven(RequestBody):
    """How the old secret ends."""

    overlap_s: Annotated[Whole, Field(ge=0, le=MOST_OVERLAP_MS // SECOND)] = DAY // SECOND
    """So many seconds both secrets sign; a day unless something else is said."""


class ReplayGiven(RequestBody):
    """What to send once more: one event, or all of a time on."""

    delivery: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The id of an event, as the log names it."""
    since: Moment | None = None
    """Every event from this time on, as far back as the log goes."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.delivery is None) == (self.since is None):
            raise PydanticCustomError("one_of_both", "send either delivery or since")
        return self


class DeliveriesAsked(Query):
    """How much of the log."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    """How many."""
    cursor: Annotated[str, Field(max_length=40, pattern=r"^([0-9]{1,20}-[0-9]{1,20})?$")] = ""
    """Where to go on: the `next` of the page before."""


class WebhookEndpointShown(ApiResponse):
    """Somewhere that a platform listens."""

    id: Annotated[str, Field(examples=["shop.1f0c2ab37d55"])]
    platform: str
    url: str
    events: list[str]
    """What it hears of; empty for everything."""
    enabled: bool
    note: str
    in_settings: bool
    """Whether it stands in the settings of the installation, where alone it is changed."""
    old_secret_until: Time | None
    """Until when an old secret signs as well; null where there is one secret."""
    made_by: str
    made_at: Time | None


class WebhookEndpointMade(WebhookEndpointShown):
    """The same, with its secret: it is shown this once."""

    secret: Annotated[str, Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])]
    """What proves that a delivery comes from here, for any library of the Standard Webhooks specification."""


class WebhookEndpointsShown(ApiResponse):
    """The endpoints, those of the settings first."""

    endpoints: list[WebhookEndpointShown]


class WebhookEndpointRemoved(ApiResponse):
    """It is there no more."""

    removed: bool = True


class WebhookAttempt(ApiResponse):
    """One attempt to deliver one event."""

    id: Annotated[str, Field(examples=["payout-03-abcdefgh23456777/4/1"])]
    """Of the event: the `webhook-id` of each delivery of it."""
    type: str
    happened_at: Time
    tried_at: Time
    attempt: int
    """Which attempt it was; 0 where nothing was sent, because the endpoint is switched off."""
    delivered: bool
    status: int
    """What was answered; 0 where nothing was."""
    answer: str
    """The beginning of the answer, or why there was none."""
    took_ms: int
    event: Annotated[dict[str, Any], WithJsonSchema({"type": "object"})]
    """What was sent."""


class WebhookAttempts(ApiResponse):
    """One page of the log, the newest attempt first."""

    deliveries: list[WebhookAttempt]
    next: str | None
    """The `cursor` of the next page; null on the last one."""


class Replayed(ApiResponse):
    """What is sent once more."""

    replayed: int
    """How many events."""


class WebhookEndpointsApi:
    """The room of the platforms' endpoints."""

    def __init__(self, desk: Desk, _: AccessScope) -> None:
        self._endpoints = PlatformEndpoints(desk.store)

    def endpoints(self) -> Iterable[AnyEndpoint]:
        """List what may be done here."""
        missing, clash = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT
        one, shown = f"{PLACE}/{{id}}", {HTTPStatus.OK: WebhookEndpointShown}
        yield ApiEndpoint(
            "POST", PLACE, "Listen somewhere. The secret is shown this once.", MANAGES, self.make,
            {HTTPStatus.CREATED: WebhookEndpointMade}, body=WebhookEndpointGiven, refuses=(clash,),
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", PLACE, "List where platforms listen.", MANAGES | STAFF, self.listed,
            {HTTPStatus.OK: WebhookEndpointsShown},
        )  # fmt: skip
        yield ApiEndpoint("GET", one, "Show an endpoint.", MANAGES | STAFF, self.show, shown, refuses=(missing,))
        yield ApiEndpoint(
            "PATCH", one, "Change an endpoint, or switch it on or off.", STEERS, self.change, shown,
            body=WebhookEndpointChanged, refuses=(missing, clash),
        )  # fmt: skip
        yield ApiEndpoint(
            "DELETE", one, "Listen there no more; what waits to be delivered is dropped.", STEERS, self.remove,
            {HTTPStatus.OK: WebhookEndpointRemoved}, refuses=(missing, clash),
        )  # fmt: skip
        yield ApiEndpoint(
            "POST", f"{one}/rotate", "Take another secret, which is shown this once; both sign for a while.", MANAGES,
            self.rotate, {HTTPStatus.OK: WebhookEndpointMade}, body=RotationGiven, refuses=(missing, clash),
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", f"{one}/deliveries", "List what was sent, and what was answered.", MANAGES | STAFF, self.log,
            {HTTPStatus.OK: WebhookAttempts}, query=DeliveriesAsked, refuses=(missing,),
        )  # fmt: skip
        yield ApiEndpoint(
            "POST", f"{one}/replay", "Send one event once more, or all of a time on, under their old ids.", STEERS,
            self.replay, {HTTPStatus.OK: Replayed}, body=ReplayGiven, refuses=(missing,),
        )  # fmt: skip

    async def make(self, call: EndpointCall[WebhookEndpointGiven, NoQuery]) -> JsonReply:
        given = call.body
        made = await self._endpoints.make(call.caller, given.url, EndpointChange(None, given.events, None, given.note))
        return JsonReply(WebhookEndpointMade(**_parts(made.endpoint), secret=made.secret), HTTPStatus.CREATED)

    async def listed(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        found = await self._endpoints.seen_by(call.caller)
        return JsonReply(WebhookEndpointsShown(endpoints=[WebhookEndpointShown(**_parts(one)) for one in found]))

    async def show(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        return JsonReply(WebhookEndpointShown(**_parts(await self._endpoints.find(call.caller, call.path["id"]))))

    async def change(self, call: EndpointCall[WebhookEndpointChanged, NoQuery]) -> JsonReply:
        given = call.body
        wish = EndpointChange(given.url, given.events, given.enabled, given.note)
        return JsonReply(
            WebhookEndpointShown(**_parts(await self._endpoints.change(call.caller, call.path["id"], wish)))
        )

    async def remove(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        await self._endpoints.remove(call.caller, call.path["id"])
        return JsonReply(WebhookEndpointRemoved())

    async def rotate(self, call: EndpointCall[RotationGiven, NoQuery]) -> JsonReply:
        made = await self._endpoints.rotate(call.caller, call.path["id"], call.body.overlap_s * SECOND)
        return JsonReply(WebhookEndpointMade(**_parts(made.endpoint), secret=made.secret))

    async def log(self, call: EndpointCall[NoBody, DeliveriesAsked]) -> JsonReply:
        limit = call.query.limit
        found = await self._endpoints.log(call.caller, call.path["id"], limit, call.query.cursor)
        further = found[-1].place if len(found) == limit else None
        return JsonReply(WebhookAttempts(deliveries=[_attempt(one) for one in found], next=further))

    async def replay(self, call: EndpointCall[ReplayGiven, NoQuery]) -> JsonReply:
        given, name = call.body, call.path["id"]
        if given.since is not None:
            return JsonReply(Replayed(replayed=await self._endpoints.replay_since(call.caller, name, given.since)))
        return JsonReply(Replayed(replayed=await self._endpoints.replay(call.caller, name, given.delivery or "")))


def _parts(one: WebhookEndpoint) -> dict[str, Any]:
    ends = [secret.until for secret in one.secrets if secret.until is not None]
    return {
        "id": one.name,
        "platform": one.platform,
        "url": one.url,
        "events": list(one.events),
        "enabled": one.enabled,
        "note": one.note,
        "in_settings": one.made_by == IN_THE_SETTINGS and not one.version,
        "old_secret_until": iso(ends[0]) if ends else None,
        "made_by": one.made_by,
        "made_at": iso(one.made_at) if one.version else None,
    }


def _attempt(one: LoggedAttempt) -> WebhookAttempt:
    said = one.attempt
    return WebhookAttempt(
        id=said.id,
        type=said.news["type"],
        happened_at=iso(said.written_at),
        tried_at=iso(said.at),
        attempt=said.attempt,
        delivered=said.delivered,
        status=said.status,
        answer=said.answer,
        took_ms=said.took_ms,
        event=dict(said.news),
    )
