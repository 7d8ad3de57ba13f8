"""Many payouts at once: a file comes in byte for byte, and a result for each row goes out."""

from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import Field

from machines.core.errors import BadInput, NotFound
from machines.core.ids import parse_id
from machines.disbursement.data import MACHINE, FileRecord
from payflow.desk.payout_files.files import PayoutFiles
from payflow.desk.payout_files.made import RESULT_COLUMNS, MadeRows
from payflow.desk.payouts import Desk
from payflow.desk.person import ASKS, LOOKS, REVIEWS, STAFF, Caller
from payflow.desk.providers import AccessScope
from payflow.shown import exact, iso
from payflow.store.registers.tokens import Role
from payflow.web.api.answers import ApiResponse, Decimal, Time
from payflow.web.api.review import ReasonGiven
from payflow.web.http.endpoints import CSV, AnyEndpoint, ApiEndpoint, CsvReply, EndpointCall, JsonReply
from payflow.web.http.payloads import AnyOwner, Fingerprint, NoBody, NoQuery, Query, RequestBody

RED_SHOWN = 100


class FileAsked(Query):
    """What the file is, which comes as the body."""

    owner: AnyOwner | None = None
    """Whose money it is; needed unless the token is a provider's own."""
    name: Annotated[str, Field(min_length=1, max_length=100, examples=["may.csv"])] = "payouts"
    """What you call it."""
    columns: Annotated[str, Field(max_length=500, examples=["amount=Net pay,account_number=Account,currency:NGN"])] = ""
    """Which column is what; kept for the owner's next file. Without it, the headings say it, or the map before."""


class FilesAsked(Query):
    """Whose files."""

    owner: AnyOwner | None = None
    """Whose; needed unless the token is a provider's own, or of somebody who works here."""


class FileApprovalGiven(RequestBody):
    """A yes to exactly what was seen."""

    fingerprint: Fingerprint
    """Of the file, as it was shown: it names every row that is paid."""


class LeaveOutGiven(RequestBody):
    """Rows that are not paid."""

    rows: Annotated[str, Field(max_length=5000, pattern=r"^[0-9, -]*$", examples=["3,17,20-40"])]
    """Their numbers; empty to leave none out."""


class FileSum(ApiResponse):
    """What a file comes to in one currency, by one rail."""

    currency: str
    rail: str
    rows: int
    amount: Decimal
    available: Decimal
    """What the owner has in that currency, for all rails."""
    missing: Decimal
    """What they lack of it, for all rails together."""


class RedRowShown(ApiResponse):
    """A row that is not paid."""

    row: int
    cell: str
    """Which cell; empty where it is the row as a whole."""
    why: str


class PayoutFile(ApiResponse):
    """A file of payouts."""

    id: Annotated[str, Field(examples=["disbursement-03-abcdefgh23456777"])]
    name: str
    owner: str
    state: Annotated[str, Field(examples=["checked"])]
    means: str
    """The state in a sentence."""
    fingerprint: str
    """What a yes is bound to."""
    rows: int
    red: int
    doubtful: int
    """Rows that pay what another file of the last days pays to the same payee."""
    payable: int
    made: int
    """How many rows are payouts by now."""
    sums: list[FileSum]
    fees: dict[str, Decimal]
    """By currency, what rails publish that they take; what they took is on each payout."""
    approvals_needed: int
    approved_by: list[str]
    payouts: dict[str, int]
    """How many of its payouts are in which state, when they were counted last."""
    red_rows: list[RedRowShown]
    """The first hundred; all of them are in the results."""
    reason: str
    created_at: Time


class PayoutFilesShown(ApiResponse):
    """Files, the newest first."""

    files: list[PayoutFile]


class PayoutFilesApi:
    """The room of the files."""

    def __init__(self, desk: Desk, scope: AccessScope) -> None:
        self._scope = scope
        self._store = desk.store
        self._files = PayoutFiles(desk)

    def endpoints(self) -> Iterable[AnyEndpoint]:
        shown, missing = {HTTPStatus.OK: PayoutFile}, (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        decided = partial(ApiEndpoint, "POST", answers=shown, refuses=missing)
        yield ApiEndpoint(
            "POST", "/api/payout-files", "Send a file of payouts: CSV, XLSX or JSON lines, as the body, byte for byte. "
            "The same file again is the one that is there, and pays nothing twice.", ASKS | {Role.OPERATOR}, self.send,
            shown, query=FileAsked, refuses=missing, takes_file=True,
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/payout-files", "List files of payouts, the newest first.", LOOKS, self.listed,
            {HTTPStatus.OK: PayoutFilesShown}, query=FilesAsked, refuses=(HTTPStatus.NOT_FOUND,),
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/payout-files/{id}", "Show what a file comes to, and how far its payouts are.", LOOKS,
            self.show, shown, refuses=(HTTPStatus.NOT_FOUND,),
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/payout-files/{id}/results", "Give what became of each row, as a table.", LOOKS, self.results,
            {HTTPStatus.OK: CSV}, refuses=(HTTPStatus.NOT_FOUND,),
        )  # fmt: skip
        yield decided("/api/payout-files/{id}/approve", "Say yes to exactly what you saw.", REVIEWS, self.approve,
            body=FileApprovalGiven)  # fmt: skip
        yield decided("/api/payout-files/{id}/leave-out", "Leave rows out before it is approved.", REVIEWS,
            self.leave_out, body=LeaveOutGiven)  # fmt: skip
        yield decided("/api/payout-files/{id}/reject", "Say no to all of it.", REVIEWS, self.reject, body=ReasonGiven)
        yield decided("/api/payout-files/{id}/cancel", "Take it back: no further row becomes a payout.",
            ASKS | {Role.OPERATOR}, self.cancel, body=ReasonGiven)  # fmt: skip

    async def send(self, call: EndpointCall[NoBody, FileAsked]) -> JsonReply:
        owner = await self._scope.owner(call.caller, call.query.owner)
        asked = call.query
        record = await self._files.upload(owner, call.file, asked.name, asked.columns, call.caller.person)
        return JsonReply(await self._shown(call.caller, record))

    async def listed(self, call: EndpointCall[NoBody, FilesAsked]) -> JsonReply:
        found = await self._files.all()
        if call.caller.role not in STAFF or call.query.owner:
            owner = await self._scope.owner(call.caller, call.query.owner)
            found = [one for one in found if one.owner == owner]
        return JsonReply(PayoutFilesShown(files=[await self._shown(call.caller, one, red=0) for one in found[:100]]))

    async def show(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        return JsonReply(await self._shown(call.caller, await self._read(call)))

    async def results(self, call: EndpointCall[NoBody, NoQuery]) -> CsvReply:
        record = await self._read(call)
        rows = [one.cells async for one in MadeRows(self._store).results(record)]
        return CsvReply(f"{record.id}.csv", RESULT_COLUMNS, rows)

    async def approve(self, call: EndpointCall[FileApprovalGiven, NoQuery]) -> JsonReply:
        record, by = await self._read(call), call.caller.person
        after = await self._files.approve(record.id, by, call.body.fingerprint)
        return JsonReply(await self._shown(call.caller, after))

    async def leave_out(self, call: EndpointCall[LeaveOutGiven, NoQuery]) -> JsonReply:
        record = await self._read(call)
        after = await self._files.leave_out(record.id, call.body.rows, call.caller.person)
        return JsonReply(await self._shown(call.caller, after))

    async def reject(self, call: EndpointCall[ReasonGiven, NoQuery]) -> JsonReply:
        record = await self._read(call)
        after = await self._files.reject(record.id, call.caller.person, call.body.reason)
        return JsonReply(await self._shown(call.caller, after))

    async def cancel(self, call: EndpointCall[ReasonGiven, NoQuery]) -> JsonReply:
        record = await self._read(call)
        after = await self._files.cancel(record.id, call.caller.person, call.body.reason)
        return JsonReply(await self._shown(call.caller, after))

    async def _read(self, call: EndpointCall[Any, NoQuery]) -> FileRecord:
        """Read a file that the caller may see; another's does not exist."""
        name, caller = call.path["id"], call.caller
        missing = NotFound(f"There is no file {name[:60]}.")
        try:
            if parse_id(name)[0] != MACHINE:
                raise missing
        except BadInput:
            raise missing from None
        record = await self._files.read(name)
        if not await self._scope.sees(caller, record.owner):
            raise missing
        return record

    async def _shown(self, caller: Caller, record: FileRecord, red: int = RED_SHOWN) -> PayoutFile:
        data, assets = record.data, self._store.records.assets
        sums = [
            FileSum(
                currency=one.asset,
                rail=one.rail,
                rows=one.rows,
                amount=exact(one.units, one.asset, assets),
                available=exact(one.available, one.asset, assets),
                missing=exact(one.short, one.asset, assets),
            )
            for one in await self._files.cover(record)
        ]
        return PayoutFile(
            id=record.id,
            name=data.name,
            owner=caller.calls(record.owner),
            state=record.state.lower(),
            means=self._files.means(record),
            fingerprint=data.fingerprint,
            rows=data.rows,
            red=data.red,
            doubtful=data.doubtful,
            payable=data.payable,
            made=data.made,
            sums=sums,
            fees={code: exact(units, code, assets) for code, units in data.fees},
            approvals_needed=data.approvals_needed,
            approved_by=[one.by for one in data.approvals],
            payouts=dict(data.states()),
            red_rows=[
                RedRowShown(row=one.number, cell=one.cell, why=one.why)
                for one in await self._files.first_red(record.id, red)
            ],
            reason=data.reason,
            created_at=iso(record.created_at),
        )
