"""Where our books and what rails say differ: listed, shown, and worked on, by the people who work here."""

from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from machines.core.errors import BadInput, NotFound
from machines.core.ids import RecordId, is_id
from machines.finding import lifecycle as s
from machines.finding.data import FindingRecord
from payflow.desk.person import OPERATES, STAFF
from payflow.desk.reconcile.findings import FindingFilter
from payflow.desk.reconcile.lineage import lineage_of
from payflow.desk.reconcile.reconciler import Reconciler
from payflow.desk.reconcile.repairs import FindingRepairs, resolve
from payflow.desk.steering import Steering
from payflow.shown import iso
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from payflow.web.api.answers import ApiResponse, Decimal, Time
from payflow.web.api.review import ReasonGiven
from payflow.web.http.endpoints import AnyEndpoint, ApiEndpoint, EndpointCall, JsonReply
from payflow.web.http.payloads import NoBody, NoQuery, Query, RequestBody, Words

Name = Annotated[str, Field(max_length=100)]


class FindingsAsked(Query):
    """Which findings."""

    rail: Name = ""
    """Of one rail."""
    kind: Name = ""
    """Of one kind, such as `missing there`."""
    over: bool = False
    """Also what is over."""
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    """How many."""


class ActGiven(RequestBody):
    """Why, and whose a forgotten record was."""

    reason: Annotated[str, Field(max_length=500)] = ""
    """What it was: needed where something is booked, posted or made again."""
    owner: Name = ""
    """Whose a record was that our books have forgotten."""


class MatchGiven(RequestBody):
    """What a line is about."""

    record: Words


class BooksFindingShown(ApiResponse):
    """A difference between our books and what a rail says."""

    id: Annotated[str, Field(examples=["finding-03-abcdefgh23456777"])]
    state: str
    rail: str
    kind: str
    severity: str
    says: str
    amount: Decimal | None
    """The sum that it is about; null where that is no sum of money."""
    currency: str | None
    line: str
    """The line of the statement, by the rail's own id; empty where there is none."""
    record: str
    """The record that it is about; empty where none is known."""
    found: Time
    proposed: str
    """The one act that is proposed."""
    advice: str
    stopped: str
    """What was paused because of it."""
    taken_by: str
    """Who works on it."""


class BooksFindingsShown(ApiResponse):
    """Findings, the oldest first."""

    findings: list[BooksFindingShown]
    more: bool
    """Whether there are more than are shown."""


class FindingLineage(ApiResponse):
    """A finding between its line and its record."""

    finding: BooksFindingShown
    line: str
    """What the rail says."""
    record: str
    """The record, and where it is."""
    postings: list[str]
    """What the record posted, oldest first."""
    events: list[str]
    """What happened to the finding, oldest first."""


class FindingActed(ApiResponse):
    """What came of an act."""

    finding: BooksFindingShown
    said: str


class StatementRead(ApiResponse):
    """How far a rail's statement is read, and our books are compared with it."""

    rail: str
    asked: bool
    """Whether it is asked by itself; else it comes as files."""
    read: Time | None
    compared: Time | None
    lines: int
    open: int
    """How many findings of it are open."""


class StatementsRead(ApiResponse):
    """Every rail."""

    rails: list[StatementRead]


class FindingsApi:
    """The room of whoever reconciles."""

    def __init__(self, store: Store, reconciler: Reconciler, metrics: Metrics) -> None:
        self._store = store
        self._reconciler = reconciler
        self._findings = reconciler.findings
        self._repairs = FindingRepairs(store, reconciler)
        self._steering = Steering(store, metrics)

    def endpoints(self) -> Iterable[AnyEndpoint]:
        acts = partial(
            ApiEndpoint, "POST", answers={HTTPStatus.OK: FindingActed},
            refuses=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/reconciliation", "Tell how far each rail's statement is read, and compared with our books.",
            STAFF, self.read, {HTTPStatus.OK: StatementsRead},
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/findings", "List where our books and what rails say differ, the oldest first.", STAFF,
            self.listed, {HTTPStatus.OK: BooksFindingsShown}, query=FindingsAsked,
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", "/api/findings/{id}", "Show a finding between its line and its record.", STAFF, self.shown,
            {HTTPStatus.OK: FindingLineage}, refuses=(HTTPStatus.NOT_FOUND,),
        )  # fmt: skip
        yield acts(
            "/api/findings/{id}/resolve", "Do what is proposed; a posting is put before a second person.", OPERATES,
            self.resolve, body=ActGiven,
        )  # fmt: skip
        yield acts("/api/findings/{id}/waive", "Let it stay, and say why.", OPERATES, self.waive, body=ReasonGiven)
        yield acts("/api/findings/{id}/take", "Say that you work on it.", OPERATES, self.take)
        yield acts(
            "/api/findings/{id}/match", "Say which record its line is about.", OPERATES, self.match, body=MatchGiven
        )

    # ── seen ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def read(self, _: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        marks = await self._store.statements.marks()
        found = []
        for name in sorted({*self._reconciler.rails, *marks}):
            mark, open_ = marks.get(name), await self._findings.all(FindingFilter(name))
            found.append(
                StatementRead(
                    rail=name, asked=name in self._reconciler.asked, read=iso(mark.read) if mark else None,
                    compared=iso(mark.compared) if mark else None, lines=await self._store.statements.count(name),
                    open=len(open_),
                )
            )  # fmt: skip
        return JsonReply(StatementsRead(rails=found))

    async def listed(self, call: EndpointCall[NoBody, FindingsAsked]) -> JsonReply:
        asked = call.query
        states = tuple(s.LIFECYCLE.states) if asked.over else (s.OPEN,)
        found = await self._findings.all(FindingFilter(asked.rail, asked.kind, states))
        shown = [_shown(one) for one in found[: asked.limit]]
        return JsonReply(BooksFindingsShown(findings=shown, more=len(found) > asked.limit))

    async def shown(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        record = await self._findings.read(_named(call.path["id"]))
        found = await lineage_of(self._store, record)
        return JsonReply(
            FindingLineage(
                finding=_shown(record), line=found.line, record=found.record, postings=list(found.postings),
                events=list(found.events),
            )
        )  # fmt: skip

    # ── worked on ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def resolve(self, call: EndpointCall[ActGiven, NoQuery]) -> JsonReply:
        name = _named(call.path["id"])
        said = await resolve(self._repairs, self._steering, name, call.caller.person, call.body.reason, call.body.owner)
        return await self._acted(name, said)

    async def waive(self, call: EndpointCall[ReasonGiven, NoQuery]) -> JsonReply:
        name = _named(call.path["id"])
        await self._findings.waive(name, call.body.reason, call.caller.person)
        return await self._acted(name, "It stays as it is.")

    async def take(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        name = _named(call.path["id"])
        await self._findings.take(name, call.caller.person)
        return await self._acted(name, f"{call.caller.person.name} works on it.")

    async def match(self, call: EndpointCall[MatchGiven, NoQuery]) -> JsonReply:
        name, record = _named(call.path["id"]), call.body.record
        if not is_id(record):
            raise BadInput(f"{record[:60]!r} is no record.")
        after = await self._reconciler.match_by_hand(name, RecordId(record), call.caller.person)
        return await self._acted(name, f"Matched; the finding is {after.state}.")

    async def _acted(self, name: RecordId, said: str) -> JsonReply:
        return JsonReply(FindingActed(finding=_shown(await self._findings.read(name)), said=said))


def _named(text: str) -> RecordId:
    if not is_id(text):
        raise NotFound(f"There is no finding {text[:60]}.")
    return RecordId(text)


def _shown(record: FindingRecord) -> BooksFindingShown:
    data, amount = record.data, record.amount
    return BooksFindingShown(
        id=record.id, state=record.state, rail=data.rail, kind=data.kind.value, severity=data.severity.value,
        says=data.says, amount=amount.decimal if amount else None, currency=amount.asset.code if amount else None,
        line=data.line, record=data.record, found=iso(record.created_at), proposed=data.act.value, advice=data.advice,
        stopped=data.stopped, taken_by=data.taken_by,
    )  # fmt: skip
