"""The dashboard put together: its own pages, and those that the installation adds."""

from collections.abc import Iterable

from aiohttp import web

from machines.core.errors import NotFound
from payflow.config import Settings
from payflow.desk.actions import actions_of
from payflow.desk.bulk import Bulk
from payflow.desk.payouts import Desk
from payflow.desk.person import STAFF
from payflow.desk.steering import Steering
from payflow.web.http.auth import Gate, PageSessions, Visit, see
from payflow.web.pages.admin.batches import BatchPages
from payflow.web.pages.admin.books import AuditPage, LedgerPage
from payflow.web.pages.admin.bulk import BulkPages
from payflow.web.pages.admin.frame import ASSETS, PLACE, DashboardExtensions, Frame, Page
from payflow.web.pages.admin.issuer import IssuerPages
from payflow.web.pages.admin.live import Live
from payflow.web.pages.admin.outbox import OutboxPage
from payflow.web.pages.admin.overview import Overview
from payflow.web.pages.admin.payout_files import PayoutFilesPage
from payflow.web.pages.admin.proposals import ProposalsPage
from payflow.web.pages.admin.record import RecordPage
from payflow.web.pages.admin.records import RecordsPage, searches_of
from payflow.web.pages.admin.review import ReviewPage
from payflow.web.pages.admin.sign_in import LoginPage, PasskeysPage, SessionsPage

COOKIE = "payflow_admin"


def routes(desk: Desk, settings: Settings, board: DashboardExtensions) -> list[web.RouteDef]:
    """List every place of the dashboard."""
    store = desk.store
    gate = Gate(store, settings)
    sessions = PageSessions(store, gate, COOKIE, PLACE, STAFF, board.also_opens)
    scopes = [f"rail:{name}" for name in board.rails] + [f"lane:{name}" for name in board.lanes]
    steering = Steering(store, desk.metrics, board.verbs, scopes)
    pages = [*own_pages(desk, board, steering), *board.pages]
    frame = Frame(store, sessions, pages)
    issuer = IssuerPages(frame, board.issuer) if board.issuer else None
    if issuer is not None:
        frame.other_sign_in = (issuer.name, issuer.place)
    found = [
        ASSETS.route(),
        *frame.sign_in_routes(),
        *LoginPage(frame).routes(),
        *PasskeysPage(frame).routes(),
        *(issuer.routes() if issuer else ()),
        frame.shows("/live", Live(store, sessions).stream),
    ]
    for page in pages:
        found += page.routes(frame)
    return [
        *found,
        web.get("/", _lead),
        web.get(f"{PLACE}/", _lead),
        frame.shows("/{rest:.+}", _nothing),
    ]


async def _lead(_: web.Request) -> web.Response:
    return see(PLACE)


async def _nothing(visit: Visit) -> web.StreamResponse:
    raise NotFound(f"There is no page {visit.request.path[:60]}.")


def own_pages(desk: Desk, board: DashboardExtensions, steering: Steering) -> list[Page]:
    """List the pages that every dashboard has, in the order of the navigation."""
    store = desk.store
    actions = actions_of(store, desk, steering, board.actions)

    def of_records(frame: Frame) -> Iterable[web.RouteDef]:
        yield from RecordsPage(frame, [*searches_of(store, board), *board.searches]).routes()
        yield from RecordPage(frame, board, steering, actions, desk.receipts).routes()
        yield from BulkPages(frame, Bulk(store, actions, steering)).routes()

    return [
        Page("", "Overview", lambda frame: Overview(frame, board, steering, desk).routes()),
        Page("review", "Review", lambda frame: ReviewPage(frame, desk, actions).routes()),
        Page("files", "Files", lambda frame: PayoutFilesPage(frame, desk).routes()),
        Page("records", "Records", of_records),
        Page("proposals", "Proposals", lambda frame: ProposalsPage(frame, steering.two).routes()),
        Page("batches", "Batches", lambda frame: BatchPages(frame, desk.schedule.text).routes()),
        Page("ledger", "Ledger", lambda frame: LedgerPage(frame).routes()),
        Page("outbox", "Outbox", lambda frame: OutboxPage(frame, steering).routes()),
        Page("audit", "Audit", lambda frame: AuditPage(frame).routes()),
        Page("sessions", "Sessions", lambda frame: SessionsPage(frame).routes()),
    ]
