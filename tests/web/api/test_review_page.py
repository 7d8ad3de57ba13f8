"""The page of the reviewers, as their browser sees it."""

import re
from http.cookies import SimpleCookie

import pytest

from payflow.store.tokens import Role
from tests.web.api.front import Front


class Browser:
    """Keeps the cookie, follows no redirect, and sends what forms hold."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self.cookie = ""
        self.said: SimpleCookie = SimpleCookie()
        self.page = ""
        self.policy = ""

    async def get(self, path: str = "/review") -> int:
        async with self._front.session.get(f"{self._front.address}{path}", headers={"Cookie": self.cookie}) as answer:
            self.page, self.policy = await answer.text(), answer.headers.get("Content-Security-Policy", "")
            return answer.status

    async def post(self, path: str, **fields: str) -> int:
        place = f"{self._front.address}/review/{path}"
        headers = {"Cookie": self.cookie}
        async with self._front.session.post(place, data=fields, headers=headers, allow_redirects=False) as answer:
            self.page = await answer.text()
            if "Set-Cookie" in answer.headers:
                self.said = SimpleCookie(answer.headers["Set-Cookie"])
                self.cookie = "; ".join(f"{name}={one.value}" for name, one in self.said.items())
            return answer.status

    async def sign_in(self, secret: str) -> int:
        return await self.post("sign-in", token=secret)

    def field(self, name: str) -> str:
        (value, *_) = re.findall(rf'name="{name}" value="([^"]*)"', self.page)
        return str(value)


@pytest.fixture
async def browser(flagged: Front) -> Browser:
    return Browser(flagged)


async def signed_in(browser: Browser, front: Front, name: str, role: Role = Role.REVIEWER) -> Browser:
    assert await browser.sign_in(await front.token(role, name=name)) == 303
    assert await browser.get() == 200
    return browser


async def test_a_stranger_is_asked_to_sign_in_and_told_nothing(browser: Browser, flagged: Front) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    assert await browser.get() == 401
    assert "Your token" in browser.page
    assert made["id"] not in browser.page
    assert await browser.sign_in("payflow_wrong") == 401


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(browser: Browser, flagged: Front) -> None:
    await signed_in(browser, flagged, "rita")
    (cookie,) = browser.said.values()
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"]) == ("Strict", "/review")
    assert "default-src 'none'" in browser.policy


async def test_a_reviewer_sees_why_and_approves_what_she_saw(browser: Browser, flagged: Front) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    await signed_in(browser, flagged, "rita")
    assert made["id"] in browser.page
    assert "What the rules found" in browser.page
    assert (
        await browser.post(
            f"{made['id']}/approve", csrf=browser.field("csrf"), fingerprint=browser.field("fingerprint")
        )
        == 200
    )
    assert f"You approved {made['id']}" in browser.page
    await flagged.until(made["id"], "COMPLETED")


async def test_a_reviewer_rejects_with_a_reason_and_not_without(browser: Browser, flagged: Front) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    await signed_in(browser, flagged, "rita")
    csrf = browser.field("csrf")
    assert await browser.post(f"{made['id']}/reject", csrf=csrf, reason=" ") == 409
    assert "Say why" in browser.page
    assert await browser.post(f"{made['id']}/reject", csrf=csrf, reason="not ours") == 200
    assert (await flagged.record(made["id"])).state == "REJECTED"


async def test_the_page_says_why_who_asked_cannot_approve_and_why_an_old_sight_is_void(
    browser: Browser, flagged: Front
) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    await signed_in(browser, flagged, "ann")
    csrf, seen = browser.field("csrf"), browser.field("fingerprint")
    assert await browser.post(f"{made['id']}/approve", csrf=csrf, fingerprint=seen) == 409
    assert "another person must" in browser.page
    other = await signed_in(Browser(flagged), flagged, "rita")
    assert await other.post(f"{made['id']}/approve", csrf=other.field("csrf"), fingerprint="0" * 24) == 409
    assert "changed since you looked" in other.page
    assert (await flagged.record(made["id"])).state == "REQUESTED"


async def test_a_viewer_sees_and_can_decide_nothing(browser: Browser, flagged: Front) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    await signed_in(browser, flagged, "vic", Role.VIEWER)
    assert made["id"] in browser.page
    assert "<button>Approve" not in browser.page
    assert await browser.post(f"{made['id']}/approve", csrf=browser.field("csrf"), fingerprint="x") == 403
    assert (await flagged.record(made["id"])).state == "REQUESTED"


async def test_a_form_from_elsewhere_decides_nothing(browser: Browser, flagged: Front) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    await signed_in(browser, flagged, "rita")
    assert await browser.post(f"{made['id']}/approve", csrf="forged", fingerprint=browser.field("fingerprint")) == 403
    assert (await flagged.record(made["id"])).state == "REQUESTED"


async def test_what_a_provider_writes_is_text_and_never_markup(browser: Browser, flagged: Front) -> None:
    made = await flagged.requested("400", note="<script>alert(1)</script>")
    await flagged.in_review(made["id"])
    await signed_in(browser, flagged, "rita")
    assert "<script>" not in browser.page
    assert "&lt;script&gt;" in browser.page
