"""Reconciliation: where our books and what rails say differ, how old that is, who works on it, and what is proposed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from aiohttp import web

from machines.core.clock import DAY, HOUR, Millis
from machines.core.errors import BadInput, NotFound, PayflowError
from machines.core.ids import RecordId, is_id
from machines.core.money import Money
from machines.finding import lifecycle as s
from machines.finding.data import FindingKind, FindingRecord, ProposedAct
from payflow.desk.person import OPERATES
from payflow.desk.reconcile.findings import FindingFilter
from payflow.desk.reconcile.lineage import lineage_of
from payflow.desk.reconcile.reconciler import Reconciler
from payflow.desk.reconcile.repairs import FindingRepairs, resolve, says
from payflow.desk.steering import Steering
from payflow.shown import grouped
from payflow.telemetry.metrics import Metrics
from payflow.web.http.auth import Form, Visit
from payflow.web.pages.admin.frame import FormDone, Frame, Page

SHOWN, LINES = 100, 25
AGES = (("up to an hour", HOUR), ("up to a day", DAY), ("up to a week", 7 * DAY), ("older", None))
LONGEST_REASON = 500


class AgedKind(NamedTuple):
    """How many findings of one rail and kind are how old, and what they come to."""

    rail: str
    kind: str
    severe: bool
    counts: tuple[int, ...]
    """By age, as `AGES` has it."""
    sums: str


class ReconciliationPages:
    """The list, one finding, and what is done with it."""

    def __init__(self, frame: Frame, reconciler: Reconciler, metrics: Metrics) -> None:
        self._frame = frame
        self._reconciler = reconciler
        self._findings = reconciler.findings
        self._repairs = FindingRepairs(frame.store, reconciler)
        self._steering = Steering(frame.store, metrics)
        self._place = f"{frame.place}/reconciliation"

    def routes(self) -> list[web.RouteDef]:
        shows, does = self._frame.shows, self._frame.does
        return [
            shows("/reconciliation", self.show),
            shows("/reconciliation/{id}", self.show_one),
            does("/reconciliation/resolve", self.resolve, OPERATES, proven=True),
            does("/reconciliation/waive", self.waive, OPERATES),
            does("/reconciliation/take", self.take, OPERATES),
            does("/reconciliation/match", self.match, OPERATES),
        ]

    # ── seen ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def show(self, visit: Visit) -> web.StreamResponse:
        query, store = visit.request.query, self._frame.store
        rail, kind, over = query.get("rail", ""), query.get("kind", ""), query.get("over") == "yes"
        wanted = FindingFilter(rail, kind, tuple(s.LIFECYCLE.states) if over else (s.OPEN,))
        found = await self._findings.all(wanted)
        open_ = [one for one in await self._findings.all(FindingFilter()) if one.state == s.OPEN]
        marks = await store.statements.marks()
        return await self._frame.page(
            visit, "reconciliation.html", title="Reconciliation", here="reconciliation",
            ages=[name for name, _ in AGES],
            aged=aged(open_, await store.records.now()), found=found[:SHOWN], more=max(0, len(found) - SHOWN),
            kinds=[one.value for one in FindingKind], rails=sorted({*self._reconciler.rails, *marks}), rail=rail,
            kind=kind, over=over, open_state=s.OPEN,
            marks=[(name, mark, await store.statements.count(name)) for name, mark in sorted(marks.items())],
            lines=await store.statements.newest(rail, LINES) if rail else (),
        )  # fmt: skip

    async def show_one(self, visit: Visit) -> web.StreamResponse:
        """Show a finding between its line and its record."""
        record = await self._read(visit.request.match_info["id"])
        return await self._frame.page(
            visit, "finding.html", title="Finding", here="reconciliation", one=record,
            lineage=await lineage_of(self._frame.store, record), is_open=record.state == s.OPEN,
            says=says(record) if record.state == s.OPEN else (), adopts=record.data.act is ProposedAct.ADOPT,
            reasons=record.data.act in (ProposedAct.BOOK, ProposedAct.CORRECT, ProposedAct.ADOPT),
            proposals=await self._steering.two.of(record.id),
        )  # fmt: skip

    async def _read(self, text: str) -> FindingRecord:
        if not is_id(text):
            raise NotFound(f"There is no finding {text[:60]}.")
        return await self._findings.read(RecordId(text))

    # ── done ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def resolve(self, visit: Visit, form: Form) -> FormDone:
        """Do what is proposed, for one or for all that were ticked; what takes two people is put before the second."""
        reason, owner = _text(form, "reason"), _text(form, "owner")
        chosen, said = _chosen(form), []
        for name in chosen:
            record = await self._read(name)
            try:
                who = visit.caller.person
                said.append((True, await resolve(self._repairs, self._steering, record.id, who, reason, owner)))
            except PayflowError as error:
                if len(chosen) == 1:
                    raise  # it is refused, as any other act is
                said.append((False, f"{name}: {error}"))
        return FormDone(_summed(said), self._back(form))

    async def waive(self, visit: Visit, form: Form) -> FormDone:
        """Let differences stay."""
        chosen = _chosen(form)
        for name in chosen:
            await self._findings.waive(RecordId(name), _text(form, "reason"), visit.caller.person)
        return FormDone(f"{len(chosen)} stay as they are.", self._back(form))

    async def take(self, visit: Visit, form: Form) -> FormDone:
        """Say that they work on it."""
        for name in _chosen(form):
            await self._findings.take(RecordId(name), visit.caller.person)
        return FormDone("You work on it.", self._back(form))

    async def match(self, visit: Visit, form: Form) -> FormDone:
        """Say which record a line is about."""
        (name,), record = _chosen(form), _text(form, "record")
        if not is_id(record):
            raise BadInput(f"{record[:60]!r} is no record.")
        after = await self._reconciler.match_by_hand(RecordId(name), RecordId(record), visit.caller.person)
        return FormDone(f"Matched; the finding is {after.state}.", self._back(form))

    def _back(self, form: Form) -> str:
        return self._frame.local(_text(form, "back") or self._place)


def aged(open_: Iterable[FindingRecord], now: Millis) -> list[AgedKind]:
    """Count what is open by rail, kind and age, and add it up."""
    groups: dict[tuple[str, FindingKind], list[FindingRecord]] = defaultdict(list)
    for one in open_:
        groups[one.data.rail, one.data.kind].append(one)
    return [
        AgedKind(rail, kind.value, bool(found[0].data.scope), _by_age(found, now), _sums(found))
        for (rail, kind), found in sorted(groups.items())
    ]


def _by_age(found: Sequence[FindingRecord], now: Millis) -> tuple[int, ...]:
    counts = [0] * len(AGES)
    for one in found:
        age = now - one.created_at
        counts[next(place for place, (_, most) in enumerate(AGES) if most is None or age <= most)] += 1
    return tuple(counts)


def _sums(found: Sequence[FindingRecord]) -> str:
    sums: dict[str, Money] = {}
    for one in found:
        if one.amount is not None:
            code = one.amount.asset.code
            sums[code] = sums[code] + one.amount if code in sums else one.amount
    return ", ".join(grouped(sums[code]) for code in sorted(sums))


def _chosen(form: Form) -> list[str]:
    names = [str(one) for one in form.getall("id", [])][:SHOWN]
    if not names:
        raise BadInput("Tick what is meant.")
    return names


def _summed(said: Sequence[tuple[bool, str]]) -> str:
    if len(said) == 1:
        return said[0][1]
    failed = [text for done, text in said if not done]
    return f"{len(said) - len(failed)} of {len(said)} are done. {' '.join(failed)[:LONGEST_REASON]}"


def _text(form: Form, name: str) -> str:
    return str(form.get(name, "")).strip()[:LONGEST_REASON]


def page(reconciler: Reconciler, metrics: Metrics) -> Page:
    """Give the page of an installation that reads statements."""
    return Page(
        "reconciliation", "Reconciliation", lambda frame: ReconciliationPages(frame, reconciler, metrics).routes()
    )
