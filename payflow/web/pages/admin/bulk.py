"""One act over the records that were picked: what it would do to each, and, once it was done, what became of them."""

from collections.abc import Collection

from aiohttp import web

from machines.core.errors import BadInput
from machines.core.ids import RecordId, is_id
from payflow.desk.bulk import VERBS, Bulk
from payflow.desk.person import Caller
from payflow.store.registers.bulk_runs import BulkStage, counted
from payflow.web.http.auth import Form, Visit
from payflow.web.pages.admin.frame import Do, FormDone, Frame

MOST_PICKED = 200
"""So many stand on a page at most; more are a matter for the command line."""


def verbs_of(caller: Caller) -> list[str]:
    """Name what somebody may do to many records."""
    return [verb for verb, roles in VERBS.items() if caller.role in roles]


class BulkPages:
    """What would be done, doing it, and what became of it."""

    def __init__(self, frame: Frame, bulk: Bulk) -> None:
        self._frame = frame
        self._bulk = bulk

    def routes(self) -> list[web.RouteDef]:
        """List the places; one for each act, so that who may come in there is settled before anything is read."""
        shows, does = self._frame.shows, self._frame.does
        verbs = VERBS.items()
        return [
            shows("/bulk", self.show),
            shows("/bulk/{name}", self.done),
            *(does(f"/bulk/{verb}", self._doing(verb), roles, proven=True) for verb, roles in verbs),
            *(does(f"/bulk/{{name}}/{verb}", self._go_on, roles, proven=True) for verb, roles in verbs),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        """Show what an act would do to each record that was picked."""
        verb, ids = visit.request.query.get("verb", ""), _picked(visit.request.query.getall("id", ()))
        preview = await self._bulk.preview(verb, ids, visit.caller.person, "…")
        return await self._frame.page(
            visit, "bulk.html", title=f"{verb.capitalize()} {len(ids)} records", here="records", preview=preview
        )

    def _doing(self, verb: str) -> Do:
        async def do(visit: Visit, form: Form) -> FormDone:
            ids, reason = _picked(form.getall("id", ())), str(form.get("reason", "")).strip()
            preview = await self._bulk.preview(verb, ids, visit.caller.person, reason or "…")
            shown = dict(zip(ids, (str(one) for one in form.getall("seen", ())), strict=False))
            for one in preview.lines:
                if not one.refused and one.seen != shown.get(one.id):
                    raise BadInput(f"{one.id} changed since you looked at it: look again. Nothing was done.")
            name = await self._bulk.begin(preview, visit.caller.person, reason)
            return await self._went_on(name, visit)

        return do

    async def _go_on(self, visit: Visit, _: Form) -> FormDone:
        return await self._went_on(visit.request.match_info["name"], visit)

    async def _went_on(self, name: str, visit: Visit) -> FormDone:
        counts = counted((await self._bulk.go_on(name, visit.caller.person)).values())
        said = f"Done: {counts[BulkStage.DONE]}; left alone: {counts[BulkStage.REFUSED]}."
        return FormDone(said, f"{self._frame.place}/bulk/{name}")

    async def done(self, visit: Visit) -> web.StreamResponse:
        """Show what became of each record, and let somebody go on with what was interrupted."""
        name = visit.request.match_info["name"]
        plan, entries = await self._bulk.read(name)
        counts = counted(entries.values())
        left = counts[BulkStage.WAITING] + counts[BulkStage.BEGUN]
        return await self._frame.page(
            visit, "bulk_run.html", title=f"{plan.verb.capitalize()} {len(entries)} records", here="records",
            name=name, plan=plan, entries=entries, counts=counts, left=left,
            goes_on=plan.by == visit.caller.who and plan.verb in verbs_of(visit.caller),
        )  # fmt: skip


def _picked(names: Collection[object]) -> list[RecordId]:
    found = [RecordId(str(one)) for one in dict.fromkeys(names)]
    if not found:
        raise BadInput("No record is picked: tick those that are meant.")
    if len(found) > MOST_PICKED:
        raise BadInput(f"More than {MOST_PICKED} records are picked: say which with `payflow do … --where`.")
    if not all(map(is_id, found)):
        raise BadInput("What was picked is no record.")
    return found
