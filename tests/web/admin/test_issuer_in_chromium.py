"""Signing in by an identity provider in a real Chromium, through its own pages; two people who come by two ways."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from playwright.async_api import ConsoleMessage, Page, Request

from machines.core.ids import RecordId
from machines.payout.risk import ProviderHistory
from payflow.desk.identity import make_sign_in_link
from payflow.desk.person import shell
from payflow.store.registers.tokens import Role, Tokens
from tests.web.admin.chromium import Chromium, chromium, flaws
from tests.web.admin.test_issuer import Company, firm, flagged_firm, issuer_address
from tests.web.admin.test_passkeys_in_chromium import STALE, swapped, with_authenticator

__all__ = ["firm", "flagged_firm", "issuer_address"]


class AtTheCompany(Chromium):
    """A Chromium that may open the provider's pages as well, which are not ours to judge."""

    def _see(self, request: Request) -> None:
        if "/interaction/" not in request.frame.url and urlsplit(request.url).port != self._issuer:
            super()._see(request)

    def _hear(self, message: ConsoleMessage) -> None:
        if not (message.page and urlsplit(message.page.url).port == self._issuer):
            super()._hear(message)

    @property
    def _issuer(self) -> int | None:
        assert isinstance(self.front, Company)
        return urlsplit(self.front.issuer.url).port


@pytest.fixture
async def local(flagged_firm: Company, chromium_address: str) -> AsyncIterator[Chromium]:
    """A real Chromium before the desk."""
    async with chromium(flagged_firm, chromium_address, AtTheCompany) as browser:
        yield browser


async def answers(page: Page, name: str) -> None:
    """Sign in on the provider's own page."""
    await page.locator("input[name=login]").fill(name)
    await page.locator("input[name=password]").fill("any")
    await page.get_by_role("button", name="Sign-in").click()


async def signed_in(browser: Chromium, name: str) -> Page:
    """Come by the provider."""
    page = await browser.window()
    await browser.see(page, "/sign-in")
    await page.get_by_role("link", name="Sign in with 127.0.0.1").click()
    await answers(page, name)
    await page.get_by_role("button", name="Sign out").wait_for()
    return page


async def proves(page: Page, name: str) -> None:
    """Prove on the provider's own page that it is still oneself."""
    await page.get_by_text("Nothing was done yet.").wait_for()
    await page.get_by_role("link", name="Prove it at 127.0.0.1").click()
    await answers(page, name)
    await page.get_by_text("It is you.").wait_for()


async def test_who_came_by_the_provider_approves_after_they_proved_there_that_it_is_them(
    local: Chromium, flagged_firm: Company
) -> None:
    firm = flagged_firm
    await firm.registered("rita", Role.REVIEWER, aliases=("oidc:rita",))
    await firm.known("rita")
    made = (await firm.front.requested("100"))["id"]
    await firm.front.in_review(made)
    page = await signed_in(local, "rita")
    assert await page.get_by_role("link", name="rita").count() == 1
    await local.see(page, "/review")
    await page.get_by_role("button", name="Approve NGN 100.00").click()
    await page.get_by_text("Nothing was done yet.").wait_for()
    assert await flaws(page) == []
    await page.set_viewport_size({"width": 1280, "height": 900})
    await proves(page, "rita")
    assert (await firm.front.record(made)).state == "REQUESTED"
    await page.get_by_role("button", name="Approve NGN 100.00").click()
    await page.get_by_text("Done: approve").wait_for()
    await firm.front.until(made, "COMPLETED")
    await page.get_by_role("button", name="Sign out").click()
    await local.see(page, "/sign-in")
    assert await flaws(page) == []


async def test_two_people_override_one_by_a_passkey_and_one_by_the_provider_and_a_swapped_proposal_is_refused(
    local: Chromium, flagged_firm: Company
) -> None:
    """Neither of them has a token."""
    firm, front = flagged_firm, flagged_firm.front
    front.known.standing_of_all = ProviderHistory(verified=True, successes=9)
    record = (await front.requested("100"))["id"]
    await front.until(record, "COMPLETED")
    await firm.registered("olu", Role.OPERATOR)
    await firm.registered("otto", Role.OPERATOR, aliases=("otto@shop.example",))
    await firm.known("otto")
    olu = await local.window()
    await with_authenticator(olu)
    link = await make_sign_in_link(front.store, "olu", shell())
    await local.see(olu, f"/sign-in?link={link}&to=/admin/passkeys")
    await olu.get_by_label("Add one: what do you call it?").fill("my laptop")
    await olu.get_by_role("button", name="Add a passkey").click()
    await olu.get_by_text("my laptop is a passkey of yours.").wait_for()
    otto = await signed_in(local, "otto")

    first = await swapped(local, front, olu, otto, record)
    await otto.get_by_role("button", name="Confirm exactly this").wait_for()
    await otto.evaluate(STALE, first)
    await proves(otto, "otto")
    await otto.evaluate(STALE, first)
    await otto.get_by_text("is not proposed any more").wait_for()
    assert (await front.record(record)).state == "COMPLETED", "he confirmed what he saw, and nothing else"
    local.troubles.clear()  # Chromium notes that a form was answered by 409, and nothing else
    await local.see(otto, "/proposals")
    await otto.get_by_role("button", name="Confirm exactly this").click()
    await otto.get_by_role("button", name="Sign out").wait_for()
    await front.until(record, "REVERSED")
    told = [f"{one.who} {one.why} {one.details}" for one in await front.store.records.history(RecordId(record))]
    assert any("olu" in one and "otto" in one for one in told), told
    staff = {token.holder for token in await Tokens(front.store.link).all()} & {"olu", "otto"}
    assert staff == set()
