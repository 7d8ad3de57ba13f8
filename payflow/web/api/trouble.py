"""What is wrong now, for programs that watch."""

from collections.abc import Iterable
from http import HTTPStatus

from payflow.desk.payouts import Desk
from payflow.desk.person import STAFF
from payflow.desk.providers import AccessScope
from payflow.desk.trouble import Trouble, troubles
from payflow.shown import iso
from payflow.web.api.answers import ApiResponse, Time
from payflow.web.http.endpoints import AnyEndpoint, ApiEndpoint, EndpointCall, JsonReply
from payflow.web.http.payloads import NoBody, NoQuery


class TroubledRecordShown(ApiResponse):
    """A record that is concerned."""

    id: str
    error: str
    """What was said of it last; empty where nothing was."""


class TroubleShown(ApiResponse):
    """One thing that is wrong."""

    name: str
    """That of its alert."""
    level: str
    """`fail` where money stands still or may be wrong, `warn` where somebody should look in the next days."""
    says: str
    since: Time | None
    count: int
    sums: list[str]
    records: list[TroubledRecordShown]
    act: str
    """What is safe to do."""
    runbook: str

    @classmethod
    def of(cls, one: Trouble) -> "TroubleShown":
        return cls(
            name=one.name, level=one.level.value, says=one.says, since=None if one.since is None else iso(one.since),
            count=one.count, sums=list(one.sums), act=one.act, runbook=one.runbook,
            records=[TroubledRecordShown(id=record.id, error=record.error) for record in one.records],
        )  # fmt: skip


class TroublesShown(ApiResponse):
    """All that is wrong; nothing where all is well."""

    troubles: list[TroubleShown]


class TroubleApi:
    """The room of those who watch."""

    def __init__(self, desk: Desk, _scope: AccessScope) -> None:
        self._desk = desk

    def endpoints(self) -> Iterable[AnyEndpoint]:
        yield ApiEndpoint(
            "GET", "/api/trouble", "List what is wrong now; what stops money comes first.", STAFF, self.show,
            {HTTPStatus.OK: TroublesShown},
        )  # fmt: skip

    async def show(self, _call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        """List it."""
        found = await troubles(self._desk.store)
        return JsonReply(TroublesShown(troubles=[TroubleShown.of(one) for one in found]))
