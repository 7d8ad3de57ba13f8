"""Manage Payouts in a real browser: clicked through with a wallet, wide and narrow, and without either."""

import os
from pathlib import Path

from playwright.async_api import Page, expect

from machines.bounty import lifecycle as s
from machines.bounty.comment import qr_path
from tests.bounties import ANN, MIA, Fair
from tests.chain import ETHER
from tests.web.admin.chromium import Chromium, flaws

PLACE = "/bounties"
PNG = b"\x89PNG\r\n\x1a\n"


async def shot(page: Page, name: str) -> None:
    """Keep pictures at both widths, where somebody asked for them."""
    folder = os.environ.get("SHOTS")
    for width in (1280, 390) if folder else ():
        await page.set_viewport_size({"width": width, "height": 900})
        await page.screenshot(path=Path(folder or "") / f"{name}-{width}.png", full_page=True)
    await page.set_viewport_size({"width": 1280, "height": 900})


async def signed_in(fair: Fair, browser: Chromium, who: str, *, script: bool = True, width: int = 1280) -> Page:
    """Open a window in which somebody has signed in."""
    page = await browser.window(width, script=script)
    await browser.sign_in(page, await fair.token_of(who), PLACE)
    return page


async def test_the_confirm_flow(fair: Fair, browser: Chromium) -> None:
    """From the address of the winner to the payment that a maintainer confirms in his wallet."""
    async with fair.worker():
        issue = await fair.labelled_issue("The <b>parser</b> hurts")
        await fair.until(issue, s.OPEN)
        await fair.funds(issue, 0.5, units=12_340_000)
        await fair.proves("ann", ANN)
        before = await fair.chain.balance(ANN.address)
        await fair.merge(await fair.pull_for(issue), issue)
        await fair.until(issue, s.CONFIRMABLE)

        page = await signed_in(fair, browser, "mia")
        card = page.locator(f"article[id='{fair.id_of(issue)}']")
        await expect(card).to_contain_text("exactly 0.5 ETH and 12.34 USDX")
        await expect(card).to_contain_text(ANN.address)
        await expect(card.get_by_role("heading")).to_contain_text("The <b>parser</b> hurts")
        assert await flaws(page) == []
        await shot(page, "to-confirm")

        # She says no in her wallet: nothing is sent, and she can try again.
        fair.wallet.refuses = True
        await card.get_by_role("button", name="Confirm Payment").click()
        await expect(card.get_by_role("status")).to_contain_text("You refused it in your wallet")
        assert (await fair.record(issue)).data.payout_hash == ""

        fair.wallet.refuses = False
        await card.get_by_role("button", name="Confirm Payment").click()
        await expect(card.get_by_role("status")).to_contain_text("Confirmed with 0x")
        record = await fair.record(issue)
        assert record.data.payout_hash
        await page.reload()
        if (await fair.record(issue)).state == s.CONFIRMING:
            await shot(page, "confirming")
        await fair.until(issue, s.PAID)
        await page.reload()
        await expect(card).to_contain_text("Paid to")
        await expect(card).to_contain_text(ANN.address)
        await shot(page, "paid")
        assert await flaws(page) == []
    assert await fair.chain.balance(ANN.address) - before == ETHER // 2


async def test_addresses_are_proven_on_the_page(fair: Fair, browser: Chromium) -> None:
    """By a signature of the wallet, for oneself and as an owner; or typed, without one."""
    page = await signed_in(fair, browser, "mia")
    await page.get_by_role("button", name="Sign with my wallet").click()
    await expect(page.get_by_text(f"Saved and proven: {MIA.address}")).to_be_visible()
    await page.get_by_role("button", name="Prove my address").click()
    await expect(page.get_by_text("owns the wallets that are made from now on")).to_be_visible()
    await expect(page.get_by_text("One owner beside the bot")).to_be_visible()
    await shot(page, "owners")

    ann = await signed_in(fair, browser, "ann")
    await ann.get_by_label("Bounties that you win are paid to").fill(ANN.address.lower())
    await ann.get_by_role("button", name="Save without a signature").click()
    await expect(ann.get_by_text("or at once when you sign for it with your wallet")).to_be_visible()
    await expect(ann.get_by_text("because nobody signed for it")).to_be_visible()
    await shot(ann, "unproven")
    assert await ann.get_by_role("button", name="Prove my address").count() == 0, "she maintains nothing"
    assert await flaws(ann) == []


async def test_troubles_are_read_on_the_page(fair: Fair, browser: Chromium) -> None:
    """A contested one with its decision, a winner without an address, a closed one with its money."""
    async with fair.worker():
        contested, pending, closed = [
            await fair.labelled_issue(title) for title in ("two did it", "where to", "closed")
        ]
        for issue in (contested, pending, closed):
            await fair.until(issue, s.OPEN)
            await fair.funds(issue)
            await fair.until(issue, s.OPEN, that=lambda one: bool(one.data.holdings))
        first, second = await fair.pull_for(contested), await fair.pull_for(contested, author="bob")
        await fair.merge(first)
        await fair.until(contested, s.AWAITING_ADDRESS)
        await fair.merge(second)
        await fair.until(contested, s.CONTESTED)
        await fair.merge(await fair.pull_for(pending), pending)
        await fair.until(pending, s.AWAITING_ADDRESS)
        await fair.at_github(fair.github.close_issue, fair.home, closed)
        await fair.until(closed, s.CLOSED)

        page = await signed_in(fair, browser, "mia")
        await expect(page.get_by_text("ann's payment address is pending.")).to_be_visible()
        await expect(page.get_by_role("heading", name="Closed", exact=False).first).to_be_visible()
        await shot(page, "troubles")
        assert await flaws(page) == []
        card = page.locator(f"article[id='{fair.id_of(closed)}']")
        await card.get_by_text("Revoke").first.click()
        await card.get_by_label("Give the money back to").fill(MIA.address)
        await card.get_by_role("button", name="Revoke the bounty").click()
        await expect(page.get_by_text(f"is given back to {MIA.address}")).to_be_visible()

        operator = await signed_in(fair, browser, "olu")
        card = operator.locator(f"article[id='{fair.id_of(contested)}']")
        await card.get_by_label("Who gets it?").select_option(str(second.id))
        await card.get_by_role("button", name="Decide").click()
        await expect(operator.get_by_text("goes on.")).to_be_visible()
        record = await fair.until(contested, s.AWAITING_ADDRESS)
        assert record.data.winner_login == "bob"


async def test_without_a_script_and_without_a_wallet(fair: Fair, browser: Chromium) -> None:
    """The page says what is missing, and what needs no wallet works."""
    page = await signed_in(fair, browser, "ann", script=False)
    await page.get_by_label("Bounties that you win are paid to").fill(ANN.address)
    await page.get_by_role("button", name="Save without a signature").click()
    await expect(page.get_by_text(f"{ANN.address} counts from", exact=False).first).to_be_visible()
    assert not await page.get_by_role("button", name="Sign with my wallet").is_visible()


async def test_the_picture_of_the_address(fair: Fair) -> None:
    """Served by us, for anybody, and only where there is one."""
    async with fair.worker():
        issue = await fair.labelled_issue()
        record = await fair.until(issue, s.OPEN)
    async with fair.session.get(fair.address + qr_path(record)) as answer:
        assert (answer.status, answer.content_type) == (200, "image/png")
        assert (await answer.read()).startswith(PNG)
    for path in (
        "/qr/a/b/bounty/1/x/qr.png",
        qr_path(record).replace("/bounty/1/", "/bounty/2/"),
        "/qr/a/b/bounty/x/y/qr.png",
    ):
        async with fair.session.get(fair.address + path) as answer:
            assert answer.status == 404


async def test_signing_in_with_github(fair: Fair, browser: Chromium) -> None:
    """Through the door and back, twice: the same account, which has its rights from GitHub."""
    for _ in range(2):
        page = await browser.window()
        await page.goto(fair.address + PLACE)
        with_github = page.get_by_role("link", name="Sign in with GitHub")
        await with_github.click()
        await expect(page.get_by_role("heading", name="Manage payouts")).to_be_visible()
        await expect(page.get_by_role("button", name="Prove my address")).to_be_visible()
    browser.troubles[:] = [trouble for trouble in browser.troubles if fair.github.url not in trouble]


async def test_a_sign_in_that_began_elsewhere_is_refused(fair: Fair) -> None:
    """Without the word of this browser, with another one, with a code that is none, or one that was used."""
    back = f"{fair.address}/bounties/github/back"
    async with fair.session.get(f"{back}?code=code-1&state=x") as answer:
        assert answer.status == 403
    async with fair.session.get(f"{fair.address}/bounties/github", allow_redirects=False) as answer:
        cookie = answer.cookies["payflow_bounties_state"]
        door = answer.headers["Location"]
    assert door.startswith(fair.github.url)
    headers = {"Cookie": f"payflow_bounties_state={cookie.value}"}
    async with fair.session.get(f"{back}?code=code-1&state=x", headers=headers) as answer:
        assert answer.status == 403
    async with fair.session.get(f"{back}?code=made-up&state={cookie.value}", headers=headers) as answer:
        assert answer.status == 400
    async with fair.session.get(door, allow_redirects=False) as answer:
        returned = answer.headers["Location"]
    for status in (200, 400):
        async with fair.session.get(returned, headers=headers) as answer:
            assert answer.status == status
