"""A command line acts as who compared its code and said yes: the same person, the same role, and for hours only."""

import asyncio
from typing import Any

import pytest

from payflow.desk.login import LOGGED_IN_S
from payflow.store.registers.logins import LASTS_S
from payflow.store.registers.tokens import LOGIN, Role, Session, Sessions, Tokens, digest_of
from tests.waiting import wait_until
from tests.web.admin.chromium import Chromium, flaws
from tests.web.admin.visitor import Visitor
from tests.web.api.front import Answer, Front

Json = Any


async def asked(front: Front, account: str = "olu@laptop") -> Json:
    """Let a command line wait, as soon as one more of this address may."""
    found: list[Json] = []

    async def taken() -> bool:
        answer = await front.call("POST", "/api/login", {"account": account})
        if answer.status == 429:
            return False
        assert answer.status == 201, answer.raw
        found.append(answer.body)
        return True

    await wait_until(taken, "the command line may wait")
    return found[0]


async def answer(front: Front, login: Json) -> Answer:
    """Ask how it stands, as soon as it may be asked."""
    found: list[Answer] = []

    async def taken() -> bool:
        found.append(await front.call("POST", "/api/login/answer", {"secret": login["secret"]}))
        return found[-1].status != 429

    await wait_until(taken, "the command line may ask")
    return found[-1]


async def says(visitor: Visitor, word: str, code: str) -> int:
    """Send the form, as soon as one more code may be tried."""
    statuses: list[int] = []
    csrf = visitor.field("csrf")

    async def taken() -> bool:
        statuses.append(await visitor.post(f"login/{word}", csrf=csrf, code=code))
        return statuses[-1] != 429

    await wait_until(taken, "another code may be tried")
    return statuses[-1]


async def logged_in(front: Front, name: str, role: Role = Role.REVIEWER) -> str:
    """Go all the way; gives what the command line shows then."""
    visitor = await Visitor(front).come(name, role)
    login = await asked(front)
    assert await says(visitor, "confirm", login["code"]) == 303
    return str((await answer(front, login)).body["token"])


async def test_who_says_yes_to_a_code_lets_a_command_line_act_as_them(visitor: Visitor, flagged: Front) -> None:
    made = await flagged.requested("400")
    fingerprint = (await flagged.in_review(made["id"]))["fingerprint"]
    login = await asked(flagged)
    assert (await answer(flagged, login)).body["status"] == "waiting"
    await visitor.come("rita")
    assert await visitor.get(login["page"]) == 200
    assert login["code"] in visitor.text
    assert "olu@laptop" in visitor.text
    assert "127.0.0.1" in visitor.text
    assert "rita, a reviewer" in visitor.text
    assert await says(visitor, "confirm", visitor.field("code")) == 303
    given = (await answer(flagged, login)).body
    assert (given["status"], given["who"], given["role"]) == ("confirmed", "rita", "reviewer")
    path = f"/api/reviews/{made['id']}/approve"
    approved = await flagged.call("POST", path, {"fingerprint": fingerprint}, token=given["token"])
    assert approved.status == 200
    assert (await flagged.record(made["id"])).data.approvals[0].by == "rita"
    assert (await flagged.call("GET", "/api/provider/balance", token=given["token"])).status in (200, 400)
    assert (await flagged.call("POST", "/api/earnings", {}, token=given["token"])).status == 403, "her role, no more"


async def test_a_code_is_good_once_and_what_it_brings_is_given_once(visitor: Visitor, flagged: Front) -> None:
    await visitor.come("rita")
    login = await asked(flagged)
    assert await says(visitor, "confirm", login["code"]) == 303
    other = await Visitor(flagged).come("otto", Role.OPERATOR)
    assert await says(other, "confirm", login["code"]) == 404
    assert await says(other, "decline", login["code"]) == 404
    assert (await answer(flagged, login)).body["who"] == "rita"
    assert (await answer(flagged, login)).status == 404
    assert len([key async for key in flagged.store.link.keys("pf:login*")]) == 0


async def test_of_all_who_answer_at_once_one_is_heard(flagged: Front) -> None:
    login = await asked(flagged)
    people = [await Visitor(flagged).come(f"one-{number}") for number in range(4)]
    answers = await asyncio.gather(*(says(one, "confirm", login["code"]) for one in people))
    assert sorted(answers) == [303, 404, 404, 404]
    collected = await asyncio.gather(*(answer(flagged, login) for _ in range(3)))
    assert sorted(one.status for one in collected) == [200, 404, 404]


async def test_who_says_no_gives_nothing_out(visitor: Visitor, flagged: Front) -> None:
    await visitor.come("rita")
    login = await asked(flagged)
    assert await says(visitor, "decline", login["code"]) == 303
    told = await answer(flagged, login)
    assert (told.status, told.code) == (403, "forbidden")
    assert (await answer(flagged, login)).status == 404
    assert [line.act for line in await flagged.store.audit.page(None, 1)] == ["decline login"]


async def test_it_is_over_after_minutes_and_the_store_knows_only_hashes(flagged: Front) -> None:
    login = await asked(flagged)
    keys = [key async for key in flagged.store.link.keys("pf:login*")]
    assert len(keys) == 2
    for key in keys:
        assert 0 < await flagged.store.link.ask("TTL", key) <= LASTS_S
        assert login["secret"] not in key
        assert login["secret"].encode() not in await flagged.store.link.ask("GET", key)
        await flagged.store.link.ask("DEL", key)
    assert (await answer(flagged, login)).status == 404


async def test_a_yes_does_not_prolong_it(visitor: Visitor, flagged: Front) -> None:
    await visitor.come("rita")
    login = await asked(flagged)
    (key,) = [key async for key in flagged.store.link.keys("pf:login:*")]
    await flagged.store.link.ask("EXPIRE", key, 60)
    assert await says(visitor, "confirm", login["code"]) == 303
    assert 0 < await flagged.store.link.ask("TTL", key) <= 60


async def test_what_was_given_ends_with_the_token_with_its_hours_and_when_it_is_ended(flagged: Front) -> None:
    secret = await logged_in(flagged, "rita")
    assert (await flagged.call("GET", "/api/reviews", token=secret)).status == 200
    assert 0 < await flagged.store.link.ask("TTL", f"pf:session:{digest_of(secret)}") <= LOGGED_IN_S
    other = await logged_in(flagged, "rob")
    assert (await flagged.call("POST", "/api/login/end", {"secret": other})).status == 200
    assert (await flagged.call("GET", "/api/reviews", token=other)).status == 401
    assert (await flagged.call("GET", "/api/reviews", token=secret)).status == 200, "hers goes on"
    await Tokens(flagged.store.link).revoke("rita", "boss")
    assert (await flagged.call("GET", "/api/reviews", token=secret)).status == 401


async def test_what_was_given_is_not_given_where_the_token_was_revoked_in_between(
    visitor: Visitor, flagged: Front
) -> None:
    await visitor.come("rita")
    login = await asked(flagged)
    assert await says(visitor, "confirm", login["code"]) == 303
    await Tokens(flagged.store.link).revoke("rita", "boss")
    told = await answer(flagged, login)
    assert told.status == 403
    assert "revoked" in told.body["error"]["message"]


async def test_a_cookie_is_no_token_and_what_a_command_line_shows_is_no_cookie(
    visitor: Visitor, flagged: Front
) -> None:
    secret = await logged_in(flagged, "rita")
    await visitor.come("rita")
    cookie = visitor.said["payflow_admin"].value
    for shown in (cookie, f"{LOGIN}{cookie}", f"payflow_{cookie}"):
        assert (await flagged.call("GET", "/api/reviews", token=shown)).status == 401
    for shown in (secret, secret.removeprefix(LOGIN)):
        visitor.cookie = f"payflow_admin={shown}"
        assert await visitor.get() == 303
    assert await Visitor(flagged).sign_in("payflow_login_" + "A" * 43) == 401


async def test_only_who_works_here_says_yes_and_only_on_the_page(visitor: Visitor, flagged: Front) -> None:
    login = await asked(flagged)
    assert await visitor.post("login/confirm", code=login["code"]) == 401
    await visitor.come("rita")
    assert await visitor.post("login/confirm", code=login["code"]) == 403, "no word of the page"
    csrf = visitor.field("csrf")
    evil = {"Origin": "https://evil.example"}
    assert await visitor.post("login/confirm", evil, csrf=csrf, code=login["code"]) == 403
    assert await visitor.get(f"login/confirm?code={login['code']}") == 404
    assert (await answer(flagged, login)).body["status"] == "waiting"


async def test_wrong_codes_find_nothing_and_slow_down_who_tries_them(visitor: Visitor, flagged: Front) -> None:
    login = await asked(flagged)
    await visitor.come("rita")
    csrf = visitor.field("csrf")
    statuses = [await visitor.post("login/confirm", csrf=csrf, code=f"BCDF-GHJ{letter}") for letter in "KLMNPQRSTV"]
    assert set(statuses) == {404, 429}
    assert 1 <= statuses.count(404) <= 9
    other = await Visitor(flagged).come("rob")
    assert await says(other, "confirm", login["code"].lower().replace("-", " ")) == 303, "only who tried waits"


async def test_who_asks_too_often_is_told_when_to_ask_again(flagged: Front) -> None:
    login = await asked(flagged)
    answers = [await flagged.call("POST", "/api/login/answer", {"secret": login["secret"]}) for _ in range(8)]
    assert {one.status for one in answers} == {200, 429}
    assert int(next(one for one in answers if one.status == 429).headers["Retry-After"]) >= 1
    begun = [await flagged.call("POST", "/api/login", {"account": "x"}) for _ in range(6)]
    assert 429 in {one.status for one in begun}


@pytest.mark.parametrize(
    "body", [{}, {"account": ""}, {"account": "a b"}, {"account": "<b>x"}, {"account": "x" * 65}, {"account": 7}]
)
async def test_an_account_that_is_none_is_refused_in_a_sentence(flagged: Front, body: Json) -> None:
    told = await flagged.call("POST", "/api/login", body)
    assert told.status == 400
    assert told.field == "account"


async def test_who_was_let_in_by_another_is_no_more_by_a_command_line(flagged: Front) -> None:
    """What somebody else's link opened counts as made by them, at the pages and in the shell."""
    token = await Tokens(flagged.store.link).find(await logged_in(flagged, "rita"))
    assert token is not None
    assert token.made_by == "test"
    sessions = Sessions(flagged.store.link, LOGIN)
    digest = await Tokens(flagged.store.link).digest_in_use("rita")
    let_in = await Tokens(flagged.store.link).find(await sessions.open(Session(digest, "olu"), 60))
    assert let_in is not None
    assert let_in.made_by == "olu"


async def test_the_pages_can_be_used_by_everybody(browser: Chromium, flagged: Front) -> None:
    login = await asked(flagged)
    page = await browser.signed_in("rita", Role.REVIEWER)
    await browser.see(page, "/login")
    assert await flaws(page) == []
    await page.get_by_label("The code that your terminal shows").fill(login["code"].lower())
    await page.get_by_role("button", name="Look").click()
    await page.get_by_role("button", name="Yes, it is mine").wait_for()
    assert await flaws(page) == []

    async def confirmed() -> bool:
        await page.get_by_role("button", name="Yes, it is mine").click()
        return await page.get_by_text("acts as rita now").count() > 0

    await wait_until(confirmed, "she said yes")
    given = (await answer(flagged, login)).body
    assert given["who"] == "rita"
