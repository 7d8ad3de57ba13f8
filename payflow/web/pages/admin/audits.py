"""Audit: what people did, and whether any history was changed afterwards."""

from aiohttp import web

from payflow.desk.values import IntegrityFault
from payflow.web.http.problems import BAD_FIELD, Problem
from payflow.web.http.sessions import Form, Visit
from payflow.web.pages.admin.books import CHECKS
from payflow.web.pages.admin.cached import CachedValue
from payflow.web.pages.admin.frame import FormDone, Frame, is_record

SHOWN = 100
FAULTS = 100
CHECK_WITHIN_S = 600.0
PATIENCE_S = 1.0
NEVER_STALE = float("inf")


class AuditPage:
    """The page, and the walk over every history."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._store = frame.store
        self._faults: CachedValue[list[IntegrityFault]] = CachedValue(
            self._walk, fresh_s=NEVER_STALE, within_s=CHECK_WITHIN_S
        )

    def routes(self) -> list[web.RouteDef]:
        place = f"{self._frame.place}/audit"
        return [
            web.get(place, self._frame.shows(self.show)),
            web.post(f"{place}/check", self._frame.does(self.check, CHECKS)),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        """List the newest acts."""
        before = _number(visit.request.query.get("before", ""))
        lines = await self._store.audit.page(before, SHOWN)
        return await self._frame.page(
            visit, "audit.html", title="Audit", here="audit",
            lines=[(line, is_record(line.subject)) for line in lines],
            following=lines[-1].number if lines and lines[-1].number > 1 else None, faults=self._faults,
            may_check=visit.caller.role in CHECKS,
        )  # fmt: skip

    async def check(self, visit: Visit, _: Form) -> FormDone:
        """Walk over every history, every index, and the log itself."""
        done = await self._faults.afresh(visit.request.app, PATIENCE_S)
        said = "All was checked." if done else "The histories are being checked; the result will stand here."
        return FormDone(said, f"{self._frame.place}/audit")

    async def _walk(self) -> list[IntegrityFault]:
        found = []
        broken = await self._store.audit.fault()
        if broken:
            found.append(IntegrityFault("the audit log", broken))
        async for fault in self._store.integrity.verify():
            found.append(fault)
            if len(found) == FAULTS:
                break
        return found


def _number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):  # noqa: PLR2004
        raise Problem(BAD_FIELD, "This address of a further page was changed: begin at the first one.")
    return int(text)
