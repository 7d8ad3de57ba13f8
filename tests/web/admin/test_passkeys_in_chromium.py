"""Passkeys in a real Chromium with an authenticator of its own: added, signed in by, asked for before money moves."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from playwright.async_api import Page

from machines.core.ids import RecordId
from machines.payout.risk import ProviderHistory
from payflow.desk.identity import make_sign_in_link
from payflow.desk.person import Person
from payflow.store.registers.tokens import Role
from tests.web.admin.chromium import Chromium, chromium, flaws
from tests.web.admin.test_passkeys import AtLocalhost, age
from tests.web.api.front import Front

STALE = """seen => {
    const form = document.querySelector("form[action$='/proposals/confirm']");
    form.elements.proposal.value = seen;
    form.submit();
}"""
"""Press the button of a page that was opened before, and has not been fetched again since."""


@pytest.fixture
async def local(flagged: Front, chromium_address: str) -> AsyncIterator[Chromium]:
    """A real Chromium before the desk, by the name that passkeys are for."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        chromium(AtLocalhost(flagged, session), chromium_address) as browser,
    ):
        yield browser


async def with_authenticator(page: Page, *, verified: bool = True) -> None:
    """Give a window a device that makes passkeys, and whose person is there and shows their finger."""
    device = await page.context.new_cdp_session(page)
    await device.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": verified, "automaticPresenceSimulation": True,
    }  # fmt: skip
    await device.send("WebAuthn.addVirtualAuthenticator", {"options": options})


async def added(browser: Chromium, flagged: Front, name: str, role: Role) -> Page:
    """Let somebody come by a one-time link, and add their first passkey."""
    await flagged.token(role, name=name)
    link = await make_sign_in_link(flagged.store, name, Person(name, role))
    page = await browser.window()
    await with_authenticator(page)
    await browser.see(page, f"/sign-in?link={link}&to=/admin/passkeys")
    await page.get_by_label("Add one: what do you call it?").fill("my laptop")
    await page.get_by_role("button", name="Add a passkey").click()
    await page.get_by_text("my laptop is a passkey of yours.").wait_for()
    return page


async def sign_in_again(page: Page) -> None:
    """Sign out, and in again by the passkey alone."""
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await page.get_by_role("button", name="Sign out").wait_for()


async def test_the_first_comes_by_a_link_and_signs_in_from_then_on(local: Chromium, flagged: Front) -> None:
    page = await added(local, flagged, "rita", Role.REVIEWER)
    await local.see(page, "/passkeys")
    assert await flaws(page) == []
    await page.set_viewport_size({"width": 1280, "height": 900})
    await sign_in_again(page)
    assert await page.get_by_role("link", name="rita").count() == 1
    await local.see(page, "/sign-in")
    await page.get_by_role("button", name="Sign in with a passkey").wait_for()
    assert await flaws(page) == []


async def test_approving_asks_for_it_once_in_a_while(local: Chromium, flagged: Front) -> None:
    page = await added(local, flagged, "rita", Role.REVIEWER)
    made = [(await flagged.requested("100"))["id"] for _ in range(2)]
    for one in made:
        await flagged.in_review(one)
    await age(flagged)
    for asked in (True, False):
        await local.see(page, "/review")
        await page.get_by_role("button", name="Approve NGN 100.00").first.click()
        if asked:
            await page.get_by_text("Nothing was done yet.").wait_for()
            assert {(await flagged.record(one)).state for one in made} == {"REQUESTED"}
            assert await flaws(page) == []
            await page.get_by_role("button", name="Confirm with your passkey").click()
        await page.get_by_text("Done: approve").wait_for()
    for one in made:
        await flagged.until(one, "COMPLETED")


async def swapped(local: Chromium, front: Front, olu: Page, otto: Page, record: str) -> str | None:
    """Olu proposes one thing, and when Otto has it before him another; gives what Otto's page names."""

    async def proposes(to: str) -> None:
        await local.see(olu, f"/records/{record}/override?to={to}")
        await olu.get_by_label("Why? It is written into the history").fill(f"as {to}")
        await olu.get_by_role("button", name="Ask a second person").click()
        if await olu.get_by_role("button", name="Confirm with your passkey").count():
            await olu.get_by_role("button", name="Confirm with your passkey").click()
        await olu.get_by_text("Nothing has changed yet").wait_for()

    await age(front)
    await proposes("PROCESSING")
    await local.see(otto, "/proposals")
    first = await otto.locator("input[name=proposal]").first.get_attribute("value")
    await local.see(olu, "/proposals")
    await olu.get_by_role("button", name="Take it back").click()
    await olu.get_by_text("off the table").wait_for()
    await proposes("REVERSED")
    return first


async def test_two_people_override_by_their_passkeys_and_a_swapped_proposal_is_refused(
    local: Chromium, flagged: Front
) -> None:
    flagged.known.standing_of_all = ProviderHistory(verified=True, successes=9)
    record = (await flagged.requested("100"))["id"]
    await flagged.until(record, "COMPLETED")
    olu, otto = [await added(local, flagged, name, Role.OPERATOR) for name in ("olu", "otto")]

    first = await swapped(local, flagged, olu, otto, record)
    await age(flagged)
    await otto.get_by_role("button", name="Confirm exactly this").wait_for()
    await otto.evaluate(STALE, first)
    await otto.get_by_role("button", name="Confirm with your passkey").click()
    await otto.get_by_text("is not proposed any more").wait_for()
    assert (await flagged.record(record)).state == "COMPLETED", "he confirmed what he saw, and nothing else"
    local.troubles.clear()  # Chromium notes that a form was answered by 409, and nothing else
    await local.see(otto, "/proposals")
    await otto.get_by_role("button", name="Confirm exactly this").click()
    await otto.get_by_role("button", name="Sign out").wait_for()
    await flagged.until(record, "REVERSED")
    told = [f"{one.who} {one.why} {one.details}" for one in await flagged.store.records.history(RecordId(record))]
    assert any("olu" in one and "otto" in one for one in told), told


async def test_whose_device_knows_no_passkey_is_told_so_and_may_try_again(local: Chromium, flagged: Front) -> None:
    await flagged.token(Role.REVIEWER, name="rita")
    page = await local.window()
    await with_authenticator(page, verified=False)
    await local.see(page, "/sign-in")
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await page.get_by_text("Nothing was done").wait_for()
    assert await page.get_by_role("button", name="Sign in with a passkey").is_enabled()


async def test_without_a_script_there_is_the_token(local: Chromium, flagged: Front) -> None:
    page = await local.window(script=False)
    await local.sign_in(page, await flagged.token(Role.REVIEWER, name="rita"))
    await local.see(page, "/passkeys")
    await page.get_by_text("Browsers speak to passkeys by a script, and here none runs.").wait_for()
