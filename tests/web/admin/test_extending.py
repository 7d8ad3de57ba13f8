"""An installation adds pages, actions and searches without a change to the dashboard."""

from aiohttp import web

from machines.core.facts import Override
from machines.core.ids import RecordId
from payflow.desk.actions import Action, ActionRequest
from payflow.engine.step import take_in
from payflow.store.registers.tokens import Role
from payflow.web import routes as api
from payflow.web.http import app
from payflow.web.http.auth import Form, Visit
from payflow.web.pages.admin.frame import DashboardExtensions, FormDone, Frame, Page, Search
from tests.web.admin.visitor import Visitor
from tests.web.api.front import Front


def extra(done: list[str]) -> Page:
    """A page of its own, with its own template and a form."""

    def routes(frame: Frame) -> list[web.RouteDef]:
        async def show(visit: Visit) -> web.StreamResponse:
            return await frame.page(visit, "extra.html", title="Something else", here="extra")

        async def do(visit: Visit, _: Form) -> FormDone:
            done.append(visit.caller.who)
            return FormDone("It is done.", "/admin/extra")

        operates = frozenset({Role.OPERATOR})
        return [frame.shows("/extra", show), frame.does("/extra", do, operates)]

    return Page("extra", "Something else", routes, templates="tests.web.admin")


async def test_a_page_an_action_and_a_search_of_another_machine_need_nothing_but_a_board(
    visitor: Visitor, flagged: Front
) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])

    async def find(text: str) -> list[RecordId]:
        return [RecordId(made["id"])] if text == "0xminer" else []

    async def shelve(record_id: RecordId, word: ActionRequest) -> object:
        said = Override("CANCELLED", word.reason, word.who)
        return await take_in(flagged.store.records, flagged.metrics, record_id, said, word.who)

    action = Action(
        "shelve", "Shelve", "Put it on a shelf.", "payout", frozenset({Role.OPERATOR}),
        lambda _, who, why: Override("CANCELLED", why, who), shelve, asks="Why?",
    )  # fmt: skip
    done: list[str] = []
    board = DashboardExtensions(pages=[extra(done)], actions=[action], searches=[Search("login", find)])
    routes = api.pages(flagged.desk, flagged.settings, board)
    async with app.listening(app.application(routes), "127.0.0.1", 0) as address:
        flagged.address = address
        await visitor.come("otto", Role.OPERATOR)
        assert '<a href="/admin/extra">Something else</a>' in visitor.page
        assert '<a href="/admin/review">Review</a>' in visitor.page
        assert "Something else" in await visitor.see("extra")
        assert 'href="/admin/extra" aria-current="page"' in visitor.page
        assert await visitor.send("extra") == 200
        assert "It is done." in visitor.text
        assert "Search by id, reference, owner or login" in await visitor.see("records?q=0xminer")
        assert made["id"] in visitor.text
        await visitor.see(f"records/{made['id']}/do/shelve")
        assert "REQUESTED → CANCELLED" in visitor.text
        sent = {"seen": visitor.field("seen"), "reason": "no room"}
        assert await visitor.send(f"records/{made['id']}/do/shelve", **sent) == 200
        assert (await flagged.record(made["id"])).state == "CANCELLED"
        viewer = await Visitor(flagged).come("vic", Role.VIEWER)
        assert await viewer.send("extra") == 403
    assert done == ["otto"]


async def test_an_address_that_is_none_is_said_to_be_none_on_a_page(visitor: Visitor) -> None:
    assert await visitor.get("/") == 303
    assert visitor.headers["Location"] == "/admin"
    await visitor.come("vic", Role.VIEWER)
    assert await visitor.get("/admin/") == 303
    assert await visitor.get("nonsense/of/mine") == 404
    assert "There is no page /admin/nonsense/of/mine." in visitor.text
