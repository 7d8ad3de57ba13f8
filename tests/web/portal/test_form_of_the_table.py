"""The form of the portal for another country, in a real browser before the simulated gateway: wide and narrow."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from payflow.config import Settings
from payflow.store.registers.tokens import Role, Tokens
from tests.stories.banks import v3
from tests.stories.town import ANN, Town, open_town
from tests.web.admin.chromium import Chromium, chromium, flaws


class Served:
    """The town, as a browser needs it."""

    def __init__(self, town: Town) -> None:
        self.address = town.address
        self.town = town

    async def token(self, role: Role, of: str = "", *, name: str = "") -> str:
        return await Tokens(self.town.store.link).create(name or "ann", role, of, "test")


@pytest.fixture
async def at_town(settings: Settings, chromium_address: str) -> AsyncIterator[tuple[Town, Chromium]]:
    async with open_town(settings, v3) as town, chromium(Served(town), chromium_address) as browser:  # type: ignore[arg-type]
        yield town, browser


async def test_she_asks_for_shillings_to_her_phone_by_the_form_that_the_table_makes(
    at_town: tuple[Town, Chromium],
) -> None:
    town, browser = at_town
    await town.ann_earns("5000", "KES")
    page = await browser.window(390)
    await browser.sign_in(page, await browser.front.token(Role.PROVIDER, ANN), "/portal")
    await page.get_by_label("Currency").select_option("KES")
    await page.get_by_role("button", name="Show this form").click()
    await page.get_by_label("Where to").select_option("mobile_money")
    await page.get_by_role("button", name="Show this form").click()
    await expect(page.get_by_text("KES to mobile money")).to_be_visible()
    await page.get_by_label("Amount in KES").fill("1234.56")
    await page.get_by_label("Network").select_option("MPS")
    for label, text in (
        ("Phone number", "254712345678"), ("Name on the account", "Wanjiku Kamau"), ("Sender's name", "Shop Ltd"),
        ("Sender's country", "KE"), ("Sender's phone", "254722000000"),
    ):  # fmt: skip
        await page.get_by_label(label).fill(text)
    assert await flaws(page) == []
    await page.get_by_role("button", name="Ask for this payout").click()
    await expect(page.get_by_role("status")).to_contain_text("You asked for KES 1,234.56. We are checking it.")
    await page.goto(f"{town.address}/portal?currency=GHS&method=bank")
    await page.get_by_label("Bank", exact=True).select_option("GH040100")
    assert await flaws(page) == []
