"""Manage Payouts in a real browser: clicked through with a wallet, wide and narrow, and without either."""

import os
from pathlib import Path

from playwright.async_api import Page, expect

from machines.bounty import lifecycle as s
from machines.bounty.comment import qr_path
from tests.bounties import ANN, FUNDER, MIA, Fair
from tests.chain import ETHER, account
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
    await fair.proves("ann", ANN)
    await fair.proves("ann", account("another"))
    await ann.reload()
    await expect(ann.get_by_text("until then the one that you signed for before does")).to_be_visible()
    release = ann.get_by_role("button", name="Sign with the old wallet")
    await release.click()  # the wallet of this browser is Mia's
    await expect(ann.get_by_text(f"Choose {ANN.address} in your wallet first.")).to_be_visible()
    await shot(ann, "replacing")
    assert await flaws(ann) == []
    await ann.get_by_role("button", name="Take it back").click()
    await expect(ann.get_by_text(f"It is taken back. Bounties that you win are paid to {ANN.address}.")).to_be_visible()
    await fair.proves("ann", MIA)
    await ann.reload()
    await ann.get_by_role("button", name="Take it back").click()
    await expect(release).to_have_count(0)
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


async def test_what_is_held_back_is_read_and_asked_for_on_the_page(fair: Fair, browser: Chromium) -> None:
    """An owner who wins, a refund elsewhere, work that was taken back, a second round: who may say what."""
    fair.home.roles[fair.github.town.person("moe").id] = "maintain"
    for who, whose, owns in (("moe", account("moe"), True), ("mia", MIA, False), ("ann", ANN, False)):
        await fair.proves(who, whose, owner=owns)
    async with fair.worker():
        issues = [await fair.labelled_issue(title) for title in ("mine", "elsewhere", "undone", "again")]
        own, back, undone, again = issues
        for issue in issues:
            await fair.until(issue, s.OPEN)
            await fair.funds(issue)
            await fair.until(issue, s.OPEN, that=lambda one: bool(one.data.holdings))
        await fair.merge(await fair.pull_for(own, author="mia"), own)
        await fair.until(own, s.MERGED, that=lambda one: bool(one.data.hand_wanted))

        page = await signed_in(fair, browser, "mia")
        card = page.locator(f"article[id='{fair.id_of(back)}']")
        await card.get_by_text("Revoke", exact=True).click()
        await card.get_by_label("Give the money back to").fill(account("fresh").address)
        await card.get_by_role("button", name="Revoke the bounty").click()
        await fair.until(back, s.REVOKING, that=lambda one: bool(one.data.hand_wanted))

        for issue in (undone, again):
            await fair.merge(await fair.pull_for(issue), issue)
            await fair.until(issue, s.CONFIRMABLE)
        await fair.at_github(fair.github.reopen_issue, fair.home, undone)
        await fair.confirms(again)
        await fair.until(again, s.PAID)
        await fair.at_github(fair.github.reopen_issue, fair.home, again)
        await fair.funds(again, 0.2)
        await fair.until(again, s.PAID, that=lambda one: bool(one.data.holdings))

        await page.reload()
        mine = page.locator(f"article[id='{fair.id_of(own)}']")
        await expect(mine).to_contain_text("mia would be paid and is an owner of the wallet")
        assert await mine.get_by_role("button", name="Ask for the payment").count() == 0, "hers is no other word"
        await expect(card).to_contain_text("mia has asked for it.")
        assert await card.get_by_role("button", name="Ask for the refund too").count() == 0
        doubtful = page.locator(f"article[id='{fair.id_of(undone)}']")
        await expect(doubtful).to_contain_text("opened again after the merge")
        await doubtful.get_by_role("button", name="Confirm Payment").click()
        await expect(doubtful.get_by_role("status")).to_contain_text("another owner must ask")
        assert "403" in browser.troubles.pop()
        second = page.locator(f"article[id='{fair.id_of(again)}']")
        await expect(second).to_contain_text("what came in since goes back to who put it in")
        assert await second.get_by_role("button", name="Pay out").count() == 0
        await shot(page, "held-back")
        assert await flaws(page) == []

        other = await signed_in(fair, browser, "moe")
        for issue, name in ((own, "Ask for the payment to mia"), (back, "Ask for the refund too")):
            await other.locator(f"article[id='{fair.id_of(issue)}']").get_by_role("button", name=name).click()
            await expect(other.get_by_text("as far as your word is what it waited for")).to_be_visible()
        await fair.until(own, s.CONFIRMABLE)
        await fair.until(back, s.REVOKING, that=lambda one: bool(one.data.confirm_hash))

        await second.get_by_text("back that came in later").click()
        await second.get_by_label("To whoever put it in, at").fill(FUNDER.address)
        await second.get_by_role("button", name="Give it back").click()
        await expect(page.get_by_text("is being prepared")).to_be_visible()


async def test_a_funder_names_another_address_on_the_page(fair: Fair, browser: Chromium) -> None:
    """Signed by the wallet that funded it; by another one it is refused in words."""
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue, by=MIA)  # whose wallet the browser has
    page = await signed_in(fair, browser, "eve")
    await page.get_by_label("Its id, or its issue's").fill(str(issue.id))
    await page.get_by_label("If it is given back, send my part to").fill(ANN.address)
    await page.get_by_role("button", name="Sign with the wallet that funded it").click()
    await expect(page.get_by_text(f"goes to {ANN.address} if it is given back.")).to_be_visible()
    assert (await fair.record(issue)).data.refund_named == ((MIA.address, ANN.address),)
    assert await flaws(page) == []


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
