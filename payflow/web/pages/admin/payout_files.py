"""Files of payouts: sent, looked at row by row, approved as one, and followed while they are paid."""

from aiohttp import web

from machines.core.errors import NotFound
from machines.core.ids import is_id
from machines.disbursement import lifecycle as s
from machines.disbursement.data import FileRecord
from payflow.desk.payout_files.checking import KNOWN
from payflow.desk.payout_files.files import PayoutFiles
from payflow.desk.payout_files.made import RESULT_COLUMNS, MadeRows
from payflow.desk.payouts import Desk
from payflow.desk.person import OPERATES, REVIEWS
from payflow.desk.platforms import find_owner
from payflow.web.http.auth import Form, Visit
from payflow.web.http.endpoints import CsvReply, SentFile, written
from payflow.web.pages.admin.frame import FormDone, Frame

LISTED, RED_SHOWN = 100, 200


class PayoutFilesPage:
    """The list with its form, and one file."""

    def __init__(self, frame: Frame, desk: Desk) -> None:
        self._frame = frame
        self._files = PayoutFiles(desk)
        self._place = f"{frame.place}/files"

    def routes(self) -> list[web.RouteDef]:
        shows, does = self._frame.shows, self._frame.does
        return [
            shows("/files", self.show),
            shows("/files/{id}", self.show_one),
            shows("/files/{id}/results.csv", self.results),
            self._frame.takes_file("/files/upload", self.upload, OPERATES),
            does("/files/{id}/approve", self.approve, REVIEWS, proven=True),
            does("/files/{id}/leave-out", self.leave_out, REVIEWS),
            does("/files/{id}/reject", self.reject, REVIEWS),
            does("/files/{id}/cancel", self.cancel, OPERATES),
        ]

    # ── seen ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def show(self, visit: Visit) -> web.StreamResponse:
        found = await self._files.all()
        return await self._frame.page(
            visit, "files.html", title="Files", here="files", found=found[:LISTED], more=max(0, len(found) - LISTED),
            known=KNOWN, final=[name for name, state in s.LIFECYCLE.states.items() if state.final],
        )  # fmt: skip

    async def show_one(self, visit: Visit) -> web.StreamResponse:
        """Show what a file comes to, its red cells, and how far it is."""
        record = await self._read(visit)
        data = record.data
        return await self._frame.page(
            visit, "file.html", title=data.name, here="files", one=record, data=data,
            cover=await self._files.cover(record), means=self._files.means(record),
            red=await self._files.first_red(record.id, RED_SHOWN),
            twins=await self._files.first_twins(record, RED_SHOWN) if data.doubtful else (),
            left_out=[str(a) if a == b else f"{a}-{b}" for a, b in data.left_out],
            waits=record.state == s.CHECKED, stops=record.state in (s.CHECKED, s.MAKING),
            missing=max(0, data.approvals_needed - len(data.approvals)),
        )  # fmt: skip

    async def results(self, visit: Visit) -> web.StreamResponse:
        """Give what became of each row, for a spreadsheet."""
        record = await self._read(visit)
        rows = [one.cells async for one in MadeRows(self._frame.store).results(record)]
        return written(CsvReply(f"{record.id}.csv", RESULT_COLUMNS, rows))

    async def _read(self, visit: Visit) -> FileRecord:
        name = visit.request.match_info["id"]
        if not is_id(name):
            raise NotFound(f"There is no file {name[:60]}.")
        return await self._files.read(name)

    # ── done ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def upload(self, visit: Visit, form: Form, sent: SentFile) -> FormDone:
        """Check a file."""
        owner = await find_owner(self._frame.store, _text(form, "owner"))
        columns = _text(form, "columns")
        record = await self._files.upload(owner, sent.path, sent.name, columns, visit.caller.person)
        said = f"{record.data.rows:,} rows were checked; {record.data.red:,} are red."
        return FormDone(said, f"{self._place}/{record.id}")

    async def approve(self, visit: Visit, form: Form) -> FormDone:
        """Say yes to what is shown."""
        record = await self._read(visit)
        after = await self._files.approve(record.id, visit.caller.person, _text(form, "fingerprint"))
        return self._done(after, "Approved." if after.state == s.MAKING else "Approved; a second person must.")

    async def leave_out(self, visit: Visit, form: Form) -> FormDone:
        """Leave rows out."""
        record = await self._read(visit)
        after = await self._files.leave_out(record.id, _text(form, "rows"), visit.caller.person)
        return self._done(after, f"{after.data.payable:,} rows are to be paid.")

    async def reject(self, visit: Visit, form: Form) -> FormDone:
        """Say no."""
        record = await self._read(visit)
        return self._done(await self._files.reject(record.id, visit.caller.person, _text(form, "reason")), "Rejected.")

    async def cancel(self, visit: Visit, form: Form) -> FormDone:
        """Take it back."""
        record = await self._read(visit)
        after = await self._files.cancel(record.id, visit.caller.person, _text(form, "reason"))
        return self._done(after, f"Cancelled; {after.data.made:,} rows are payouts already, and stay so.")

    def _done(self, record: FileRecord, said: str) -> FormDone:
        return FormDone(said, f"{self._place}/{record.id}")


def _text(form: Form, name: str) -> str:
    return str(form.get(name, "")).strip()
