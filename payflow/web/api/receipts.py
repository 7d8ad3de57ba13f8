"""Receipts: proof of payment for whoever was paid, which anybody can check without us."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from machines.core.ids import RecordId
from payflow.desk.payouts import Desk
from payflow.desk.person import LOOKS, STAFF
from payflow.desk.providers import AccessScope
from payflow.desk.receipts.receipts import PLACE
from payflow.web.api.answers import ApiResponse, Time
from payflow.web.http.endpoints import ANYBODY, JSON, AnyEndpoint, ApiEndpoint, EndpointCall, FileReply, JsonReply
from payflow.web.http.payloads import NoBody, NoQuery, Query

KEYS_PLACE = "/.well-known/payflow-keys.json"
HTML = "text/html"


class ReceiptAsked(Query):
    """How it is written."""

    page: bool = False
    """As a page that prints, with the same receipt in it."""


class ReceiptState(ApiResponse):
    """What holds of a receipt now."""

    id: str
    says: Annotated[str, Field(examples=["PAID"])]
    """What it would say if it were written now."""
    at: Time


class ReceiptKey(ApiResponse):
    """A key that signs receipts, or did."""

    key: Annotated[str, Field(examples=["0f3a5be2c1d4e6f7"])]
    """Its name, as receipts have it."""
    ed25519: str
    """Its public half, in hex."""


class ReceiptKeysShown(ApiResponse):
    """The keys of an installation's receipts, the newest first."""

    installation: str
    keys: list[ReceiptKey]


class ReceiptsApi:
    """Where receipts are."""

    def __init__(self, desk: Desk, scope: AccessScope) -> None:
        self._receipts = desk.receipts
        self._scope = scope

    def endpoints(self) -> Iterable[AnyEndpoint]:
        refuses = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        for prefix in ("/api/provider/payouts", "/api/payouts"):
            yield ApiEndpoint(
                "GET", f"{prefix}/{{id}}/receipt", "Give the receipt of a payout: signed, with all that proves it.",
                LOOKS, self.of_payout, {HTTPStatus.OK: JSON}, query=ReceiptAsked, refuses=refuses,
            )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/records/{id}/receipt", "Give the receipt of a payout, or of what a pool, a lane or a bounty "
            "paid, with the names of those who decided.", STAFF, self.of_record, {HTTPStatus.OK: JSON},
            query=ReceiptAsked, refuses=refuses,
        )  # fmt: skip

    def public(self) -> Iterable[AnyEndpoint]:
        """List what whoever has a receipt asks, without a token."""
        yield ApiEndpoint(
            "GET", f"{PLACE}/{{id}}/{{code}}", "Say what holds now of a receipt, to whoever has it.", ANYBODY,
            self.state, {HTTPStatus.OK: ReceiptState}, refuses=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", KEYS_PLACE, "List the public keys of receipts.", ANYBODY, self.keys,
            {HTTPStatus.OK: ReceiptKeysShown},
        )  # fmt: skip

    async def of_payout(self, call: EndpointCall[NoBody, ReceiptAsked]) -> FileReply:
        record = await self._scope.payout(call.caller, call.path["id"])
        return await self._written(record.id, call, staff=call.caller.role in STAFF)

    async def of_record(self, call: EndpointCall[NoBody, ReceiptAsked]) -> FileReply:
        return await self._written(RecordId(call.path["id"]), call, staff=True)

    async def _written(
        self, record_id: RecordId, call: EndpointCall[NoBody, ReceiptAsked], *, staff: bool
    ) -> FileReply:
        if call.query.page:
            return page_reply(record_id, await self._receipts.page(record_id, staff=staff))
        return FileReply(f"receipt-{record_id}.json", JSON, await self._receipts.file(record_id, staff=staff))

    async def state(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        found = await self._receipts.state(call.path["id"], call.path["code"])
        return JsonReply(ReceiptState.model_validate(found))

    async def keys(self, _: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        return JsonReply(ReceiptKeysShown.model_validate(self._receipts.keys()))


def page_reply(record_id: RecordId, content: bytes) -> FileReply:
    """Give a receipt as a page; it is saved, for it is to be kept."""
    return FileReply(f"receipt-{record_id}.html", HTML, content)
