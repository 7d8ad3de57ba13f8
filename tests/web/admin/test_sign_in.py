"""Signing in: who may come in, what the cookie can be used for, and when it is over."""

from http.cookies import SimpleCookie

import pytest

from payflow.config import Settings
from payflow.desk.person import NOBODY, STAFF
from payflow.store.registers.tokens import Role, Session, Sessions, Tokens
from payflow.web import routes as api
from payflow.web.http import app
from payflow.web.http.auth import LASTS_S, SiblingPages
from payflow.web.pages.admin.frame import DashboardExtensions
from tests.web.admin.visitor import Visitor
from tests.web.api.front import ANN, Front, open_front


async def test_a_stranger_is_led_to_the_sign_in_and_told_nothing(visitor: Visitor, flagged: Front) -> None:
    made = await flagged.requested("400")
    for path in ("", "review", "records", f"records/{made['id']}", "records.csv", "audit", "live"):
        assert await visitor.get(path) == 303
        assert visitor.headers["Location"].startswith("/admin/sign-in?to=%2Fadmin")
        assert made["id"] not in visitor.page
    assert await visitor.sign_in("payflow_wrong") == 401
    assert not visitor.cookie


async def test_who_signs_in_comes_to_where_he_wanted_to_go_and_never_to_another_site(
    visitor: Visitor, flagged: Front
) -> None:
    token = await flagged.token(Role.VIEWER, name="vic")
    for wanted, led in (
        ("/admin/records?q=ann", "/admin/records?q=ann"),
        ("//evil.example/admin", "/admin"),
        ("https://evil.example", "/admin"),
        ("/admin/../portal\r\nX: y", "/admin"),
        ("/administrator", "/admin"),
    ):
        assert await visitor.post("sign-in", token=token, to=wanted) == 303
        assert visitor.headers["Location"] == led


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_is_not_the_token(
    visitor: Visitor, flagged: Front
) -> None:
    await visitor.come("rita")
    token = await flagged.token(Role.REVIEWER, name="rita")
    assert await visitor.sign_in(token) == 303
    (cookie,) = visitor.said.values()
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"], cookie["secure"]) == ("Strict", "/admin", "")
    assert int(cookie["max-age"]) == LASTS_S
    assert token not in cookie.value
    assert await visitor.post("sign-in", {"X-Forwarded-Proto": "https"}, token=token) == 303
    (cookie,) = visitor.said.values()
    assert cookie["secure"]


async def test_every_page_forbids_scripts_and_styles_of_others_and_frames(visitor: Visitor) -> None:
    await visitor.come("vic", Role.VIEWER)
    for path in ("", "records", "review", "sign-in", "records/payout-00-aaaaaaaaaaaaaaaa"):
        await visitor.get(path)
        policy = visitor.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "style=" not in visitor.page
        assert visitor.headers["Cache-Control"] == "no-store"


async def test_a_session_ends_with_its_token_at_its_time_and_at_the_sign_out(visitor: Visitor, flagged: Front) -> None:
    await visitor.come("rita")
    secret = visitor.said["payflow_admin"].value
    keys = [key async for key in flagged.store.link.keys("pf:session:*")]
    assert len(keys) == 1
    assert secret not in keys[0], "the store knows only a hash"
    assert 0 < await flagged.store.link.ask("TTL", keys[0]) <= LASTS_S
    other = await Visitor(flagged).come("rob")
    kept = other.cookie
    assert await other.send("sign-out") == 303
    other.cookie = kept
    assert await other.get() == 303, "whoever kept the cookie has nothing"
    await Tokens(flagged.store.link).revoke("rita", "test")
    assert await visitor.get() == 303
    assert await visitor.post("records/x/take-up", csrf="x") == 401


@pytest.mark.parametrize(("role", "of"), [(Role.PROVIDER, ANN), (Role.PLATFORM, "shop")])
async def test_only_people_who_work_here_come_in(visitor: Visitor, flagged: Front, role: Role, of: str) -> None:
    assert await visitor.sign_in(await flagged.token(role, of)) == 403
    assert not visitor.cookie


async def test_a_session_of_the_portal_opens_no_dashboard_and_the_other_way_round(
    visitor: Visitor, flagged: Front
) -> None:
    portal = await Visitor(flagged, "/portal").come("ann", Role.PROVIDER, ANN)
    visitor.cookie = portal.cookie.replace("payflow_portal", "payflow_admin")
    assert await visitor.get() == 403
    assert await visitor.get("records") == 403
    inside = await Visitor(flagged).come("otto", Role.OPERATOR)
    portal.cookie = inside.cookie.replace("payflow_admin", "payflow_portal")
    assert await portal.get() == 403


async def test_a_form_needs_the_secret_of_its_page_and_comes_from_no_other_site(
    visitor: Visitor, flagged: Front
) -> None:
    await visitor.come("otto", Role.OPERATOR)
    csrf = visitor.field("csrf")
    pause = {"scope": "everything", "reason": "x"}
    assert await visitor.post("pause", **pause) == 403
    assert await visitor.post("pause", csrf="forged", **pause) == 403
    stranger = await Visitor(flagged).come("olga", Role.OPERATOR)
    assert await visitor.post("pause", csrf=stranger.field("csrf"), **pause) == 403
    assert await visitor.post("pause", {"Origin": "https://evil.example"}, csrf=csrf, **pause) == 403
    assert await visitor.post("sign-in", {"Origin": "https://evil.example"}, token="x") == 403
    assert await visitor.post("sign-out", csrf="forged") == 403
    assert await flagged.store.pauses.all() == {}
    assert await visitor.post("pause", {"Origin": flagged.address}, csrf=csrf, **pause) == 303
    assert set(await flagged.store.pauses.all()) == {"everything"}


async def test_guessing_tokens_at_the_door_is_slowed_down(settings: Settings) -> None:
    async with open_front(settings, api_address_rate=3.0) as front:
        visitor = Visitor(front)
        answers = [await visitor.sign_in(f"payflow_{number:043d}") for number in range(20)]
        assert set(answers) == {401, 429}


async def test_strangers_at_our_address_keep_nobody_from_signing_in_and_working(settings: Settings) -> None:
    async with open_front(settings, api_address_rate=1.0) as front:
        asked = [await front.call("GET", "/api/provider/balance") for _ in range(10)]
        assert asked[-1].status == 429
        visitor = await Visitor(front).come("olu", Role.OPERATOR)
        for _ in range(10):
            assert await visitor.get("records") == 200


async def test_what_a_closed_session_was_to_be_told_is_not_kept(flagged: Front) -> None:
    sessions = Sessions(flagged.store.link)
    secret = await sessions.open(Session("0" * 64), 60)
    await sessions.say(secret, "done")
    found = await sessions.find(secret)
    assert found is not None
    assert found.said == "done"
    await sessions.close(secret)
    await sessions.say(secret, "done")
    assert await sessions.find(secret) is None


async def test_who_of_the_staff_comes_in_and_who_is_refused_stands_in_the_audit_log_without_what_he_showed(
    visitor: Visitor, flagged: Front
) -> None:
    assert await visitor.sign_in("payflow_guessed") == 401
    await visitor.come("rita")
    await Visitor(flagged, "/portal").come("ann", Role.PROVIDER, ANN)
    lines = [(line.who, line.act, line.subject, line.why) for line in await flagged.store.audit.page(None, 10)]
    assert [line[:3] for line in lines] == [("rita", "sign in", "/admin"), (NOBODY, "refused", "/admin")]
    assert lines[0][3] == "from 127.0.0.1"
    assert "From 127.0.0.1" in lines[1][3]
    assert "guessed" not in repr(lines)


async def test_a_flood_of_guesses_does_not_fill_the_audit_log(visitor: Visitor, flagged: Front) -> None:
    for number in range(30):
        assert await visitor.sign_in(f"payflow_{number}") == 401
    assert 1 <= await flagged.store.audit.count() <= 3


async def test_one_sign_in_opens_the_pages_beside_too_where_the_role_may_come_in(flagged: Front) -> None:
    for roles, cookies in (
        (STAFF, {"payflow_admin": "/admin", "other": "/"}),
        (frozenset(), {"payflow_admin": "/admin"}),
    ):
        board = DashboardExtensions(also_opens=SiblingPages("other", "/", frozenset(roles)))
        routes = api.pages(flagged.desk, flagged.settings, board)
        async with app.listening(app.application(routes), "127.0.0.1", 0) as address:
            token = await flagged.token(Role.OPERATOR, name="otto")
            place = f"{address}/admin/sign-in"
            async with flagged.session.post(place, data={"token": token}, allow_redirects=False) as answer:
                assert answer.status == 303
                told = [SimpleCookie(one) for one in answer.headers.getall("Set-Cookie")]
        found = {name: one for cookie in told for name, one in cookie.items()}
        assert {name: one["path"] for name, one in found.items()} == cookies
        assert len({one.value for one in found.values()}) == 1, "one session"
        assert all(one["httponly"] and one["samesite"] == "Strict" for one in found.values())
