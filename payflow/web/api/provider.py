"""What providers do, by themselves or through the platform that brought them: ask, look, take back, mend."""

import asyncio
import base64
import re
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from machines.core.clock import Millis
from machines.core.errors import PayflowError, StoreError
from machines.core.ids import Owner, RecordId, parse_id
from machines.core.money import Asset, Money
from machines.payout.data import PayoutRecord
from payflow.desk.payouts import MACHINE, Ask, Desk
from payflow.desk.person import ASKS, LOOKS, Caller
from payflow.desk.providers import AccessScope
from payflow.store.listing import ListCursor
from payflow.store.registers.tokens import Role
from payflow.web.api import answers
from payflow.web.api.answers import STATES, Status
from payflow.web.api.payloads import (
    CancelGiven,
    CorrectionGiven,
    NoBody,
    NoQuery,
    OwnerAsked,
    PayoutGiven,
    destination,
)
from payflow.web.http import problems
from payflow.web.http.endpoints import AnyEndpoint, ApiEndpoint, EndpointCall, JsonReply
from payflow.web.http.fields import Moment, money
from payflow.web.http.problems import Problem

# Where few records match, so many are looked through before the page is answered as far as it is.
MOST_LOOKED_THROUGH = 500
SLICE = 100

_PLACE = re.compile(r"([0-9]{1,15}):([a-z0-9-]{1,60})")


class PayoutsAsked(OwnerAsked):
    """Which payouts."""

    status: Status | None = None
    """Only those of which this is true."""
    since: Annotated[Moment | None, Field(alias="from")] = None
    """Only those asked for at this time or later."""
    until: Annotated[Moment | None, Field(alias="to")] = None
    """Only those asked for before this time."""
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    """How many."""
    cursor: Annotated[str, Field(max_length=200)] = ""
    """Where to go on: the `next` of the page before."""


class ProviderApi:
    """The room of the providers."""

    def __init__(self, desk: Desk, scope: AccessScope) -> None:
        self._desk = desk
        self._store = desk.store
        self._scope = scope

    def endpoints(self) -> Iterable[AnyEndpoint]:
        """List what may be done here. The payouts have two addresses, which are the same place."""
        for prefix in ("/api/provider/payouts", "/api/payouts"):
            yield from self._payouts(prefix)

    def _payouts(self, prefix: str) -> Iterable[AnyEndpoint]:
        one = {HTTPStatus.OK: answers.Payout}
        missing, clash = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT
        yield ApiEndpoint(
            "POST", prefix, "Ask for a payout. The same key again gets the first answer again.", ASKS, self.ask,
            {HTTPStatus.CREATED: answers.Payout, **one}, body=PayoutGiven, keyed=True,
            refuses=(missing, HTTPStatus.UNPROCESSABLE_ENTITY),
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", prefix, "List payouts, the newest first.", LOOKS, self.listed,
            {HTTPStatus.OK: answers.PayoutsPage}, query=PayoutsAsked, refuses=(missing,),
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", f"{prefix}/{{id}}", "Show a payout as it is now.", LOOKS, self.show, one, refuses=(missing,)
        )
        yield ApiEndpoint(
            "POST", f"{prefix}/{{id}}/cancel", "Take a payout back before it is paid.", ASKS | {Role.OPERATOR},
            self.cancel, one, body=CancelGiven, refuses=(missing, clash),
        )  # fmt: skip
        yield ApiEndpoint(
            "POST", f"{prefix}/{{id}}/destination", "Name another destination for a failed payout; it is reviewed.",
            ASKS, self.correct, one, body=CorrectionGiven, refuses=(missing, clash),
        )  # fmt: skip

    # ── payouts ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, call: EndpointCall[PayoutGiven, NoQuery]) -> JsonReply:
        """Make a payout, or give the first answer once more."""
        given = call.body
        owner = await self._scope.owner(call.caller, given.owner)
        ask = Ask(
            owner=owner,
            amount=self._amount(given),
            method=given.method,
            destination=destination(given.method, given.destination) if given.destination else None,
            note=given.note,
            key=_own_key(call.caller, call.key),
            by=call.caller.who,
        )
        answer = await self._desk.request(ask)
        status = HTTPStatus.CREATED if answer.fresh else HTTPStatus.OK
        return JsonReply(answers.payout(answer.record, answer.expected_at), status)

    def _amount(self, given: PayoutGiven) -> Money | Asset:
        known = money(given.amount or "0", given.currency, self._store.records.assets)
        return known.asset if given.amount is None else known

    async def listed(self, call: EndpointCall[NoBody, PayoutsAsked]) -> JsonReply:
        """List an owner's payouts page by page."""
        owner = await self._scope.owner(call.caller, call.query.owner)
        found, following = await self._page(owner, call.query)
        now = await self._store.records.now()
        shown = [answers.payout(one, answers.expected_at(one, self._desk.schedule, now)) for one in found]
        return JsonReply(answers.PayoutsPage(payouts=shown, next=_cursor(following) if following else None))

    async def _page(self, owner: Owner, asked: PayoutsAsked) -> tuple[list[PayoutRecord], ListCursor | None]:
        """Find one page, and the place after which the next one begins; None when nothing follows."""
        states = STATES[asked.status] if asked.status else None
        place = _place(asked.cursor)
        found: list[PayoutRecord] = []
        between = partial(self._store.listing.owned_before, owner)
        for _ in range(MOST_LOOKED_THROUGH // SLICE):
            slice_ = await between(place, asked.since, asked.until, SLICE)
            for place, record in zip(slice_, await self._read(slice_), strict=True):
                if record is not None and (states is None or record.state in states):
                    found.append(record)
                if len(found) == asked.limit:
                    return found, place if place != slice_[-1] or len(slice_) == SLICE else None
            if len(slice_) < SLICE:
                return found, None
        return found, place

    async def _read(self, places: Iterable[ListCursor]) -> list[PayoutRecord | None]:
        return await asyncio.gather(*(self._readable(place.id) for place in places))

    async def _readable(self, record_id: RecordId) -> PayoutRecord | None:
        """Read a payout; what is none, or cannot be read, must not hide the others."""
        if parse_id(record_id)[0] != MACHINE:
            return None
        try:
            return (await self._store.records.read(record_id)).record
        except StoreError:
            raise
        except PayflowError:
            return None

    async def show(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        return await self._shown(await self._scope.payout(call.caller, call.path["id"]))

    async def cancel(self, call: EndpointCall[CancelGiven, NoQuery]) -> JsonReply:
        record = await self._scope.payout(call.caller, call.path["id"])
        reason = call.body.reason or "not wanted any more"
        applied = await self._desk.cancel(record.id, call.caller.who, reason, call.caller.owner)
        return await self._shown(applied.after)

    async def correct(self, call: EndpointCall[CorrectionGiven, NoQuery]) -> JsonReply:
        """Name another destination."""
        record = await self._scope.payout(call.caller, call.path["id"])
        where = destination(record.data.method, call.body.destination)
        applied = await self._desk.correct(record.id, call.caller.who, where, call.caller.owner)
        return await self._shown(applied.after)

    async def _shown(self, record: PayoutRecord) -> JsonReply:
        now = await self._store.records.now()
        return JsonReply(answers.payout(record, answers.expected_at(record, self._desk.schedule, now)))


def _own_key(caller: Caller, key: str) -> str:
    """Keep the keys of a platform apart from the provider's own. No key has a space in it."""
    return f"{caller.of} {key}" if key and caller.role is Role.PLATFORM else key


def _cursor(place: ListCursor) -> str:
    return base64.urlsafe_b64encode(f"{place.at}:{place.id}".encode()).decode()


def _place(cursor: str) -> ListCursor | None:
    if not cursor:
        return None
    try:
        match = _PLACE.fullmatch(base64.b64decode(cursor, altchars=b"-_", validate=True).decode())
    except ValueError:
        match = None
    if match is None:
        raise Problem(problems.BAD_FIELD, "cursor: give the `next` of the page before, unchanged.", field="cursor")
    return ListCursor(Millis(int(match[1])), RecordId(match[2]))
