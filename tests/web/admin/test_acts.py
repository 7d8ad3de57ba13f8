"""What people do at the dashboard, in a real browser: each act says first what it would do, and then does that."""

from playwright.async_api import expect

from machines.core.ids import RecordId
from machines.payout.risk import ProviderHistory
from payflow.config import Settings
from payflow.store.registers.proposals import Proposals
from payflow.store.registers.tokens import Role, Tokens
from tests.web.admin.chromium import Chromium, chromium
from tests.web.api.front import BOUNCES, WAITS, Front, asking, open_front


async def test_a_reviewer_approves_what_she_sees(flagged: Front, browser: Chromium) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    page = await browser.signed_in("rita", Role.REVIEWER)
    await browser.see(page, "/review")
    await expect(page.get_by_role("article")).to_contain_text("the provider is not verified")
    await page.get_by_role("button", name="Approve NGN 400.00 to 044 ••••0031").click()
    await expect(page.get_by_role("status")).to_contain_text(f"Done: approve {made['id']}")
    await flagged.until(made["id"], "COMPLETED")


async def test_a_reviewer_rejects_with_a_reason_that_the_provider_reads(flagged: Front, browser: Chromium) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    page = await browser.signed_in("rita", Role.REVIEWER)
    await browser.see(page, "/review")
    await page.get_by_role("button", name="Reject").click()
    assert (await flagged.record(made["id"])).state == "REQUESTED", "a browser sends no form without the reason"
    await page.get_by_label("Why not? The provider reads it.").fill("not ours")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("status")).to_contain_text("Done: reject")
    await expect(page.get_by_role("status")).to_contain_text("It is in REJECTED now")
    assert (await flagged.ann("GET", f"/api/payouts/{made['id']}")).body["reason"] == "not ours"


async def test_a_large_amount_takes_two_people_and_the_first_is_told_so(
    settings: Settings, chromium_address: str
) -> None:
    async with (
        open_front(settings, two_people_from="500") as front,
        chromium(front, chromium_address) as browser,
        front.working(),
    ):
        await front.earn("9000")
        made = await front.requested("600")
        await front.in_review(made["id"])
        rita, rob = [await browser.signed_in(name, Role.REVIEWER) for name in ("rita", "rob")]
        await browser.see(rita, "/review")
        await expect(rita.get_by_role("article")).to_contain_text("two people: 0 of 2 said yes")
        await expect(rita.get_by_role("article")).to_contain_text("Yours is the first of two")
        await rita.get_by_role("button", name="Approve").click()
        await expect(rita.get_by_role("article")).to_contain_text("rita approved")
        await expect(rita.get_by_role("button", name="Approve")).to_have_count(0)
        assert (await front.record(made["id"])).state == "REQUESTED"
        await browser.see(rob, "/review")
        await rob.get_by_role("button", name="Approve").click()
        await front.until(made["id"], "COMPLETED")
        said = [event.why for event in await front.store.records.history(RecordId(made["id"])) if event.why]
        assert "rita said yes; 1 more must" in said


async def test_an_operator_gives_back_a_failed_payout_after_seeing_what_that_does(
    flagged: Front, browser: Chromium
) -> None:
    flagged.known.standing_of_all = ProviderHistory(verified=True, successes=9)
    made = (await flagged.ann("POST", "/api/payouts", asking("700", BOUNCES))).body
    await flagged.until(made["id"], "FAILED")
    page = await browser.signed_in("otto", Role.OPERATOR)
    await browser.see(page, f"/records/{made['id']}")
    await page.get_by_role("link", name="Give back…").click()
    await expect(page.get_by_text("NGN 700.00 of shop~ann goes from held to available.")).to_be_visible()
    await page.get_by_label("Why? The provider reads it.").fill("the account is closed")
    await page.get_by_role("button", name="Give back: NGN 700.00").click()
    await expect(page.get_by_role("status")).to_contain_text("It is in CANCELLED now")
    assert (await flagged.money())["availableBalance"] == "1000.00"


async def test_an_override_that_gives_back_what_may_have_left_takes_a_second_person(
    flagged: Front, browser: Chromium
) -> None:
    flagged.known.standing_of_all = ProviderHistory(verified=True, successes=9)
    made = (await flagged.ann("POST", "/api/payouts", asking("100", WAITS))).body
    await flagged.until(made["id"], "PROCESSING")
    otto, olga = [await browser.signed_in(name, Role.OPERATOR) for name in ("otto", "olga")]
    await browser.see(otto, f"/records/{made['id']}")
    await otto.get_by_role("link", name="Override…").click()
    await otto.get_by_label("Put it into").select_option("CANCELLED")
    await otto.get_by_role("button", name="Show what that would change").click()
    await expect(otto.get_by_text("word is not enough")).to_be_visible()
    await expect(otto.get_by_text("NGN 100.00 of shop~ann goes from held to available.")).to_be_visible()
    await otto.get_by_label("Why?").fill("the bank says no")
    await otto.get_by_role("button", name="Ask a second person").click()
    await expect(otto.get_by_role("status")).to_contain_text("Nothing has changed yet")
    assert (await flagged.record(made["id"])).state == "PROCESSING"
    await expect(otto.get_by_role("button", name="Confirm")).to_have_count(0)
    await browser.see(olga, "")
    await olga.get_by_role("link", name=f"1 override waits for a second person: {made['id']}").click()
    await expect(olga.get_by_text("Reason: the bank says no")).to_be_visible()
    await expect(olga.get_by_text("NGN 100.00 goes from held to available.")).to_be_visible()
    await olga.get_by_role("button", name="Confirm exactly this").click()
    await expect(olga.get_by_role("status")).to_contain_text("is in CANCELLED now")
    (event,) = (one for one in await flagged.store.records.history(RecordId(made["id"])) if one.trigger == "override")
    assert event.why == "the bank says no (otto and olga)"
    assert await Proposals(flagged.store.link).waiting(await flagged.store.records.now()) == []


async def test_an_override_by_one_person_needs_a_reason(flagged: Front, browser: Chromium) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    page = await browser.signed_in("otto", Role.OPERATOR)
    await browser.see(page, f"/records/{made['id']}/override?to=CANCELLED")
    button = page.get_by_role("button", name="Override: put it into CANCELLED")
    await button.click()
    assert (await flagged.record(made["id"])).state == "REQUESTED"
    await page.get_by_label("Why?").fill("asked for by telephone")
    await button.click()
    await expect(page.get_by_role("status")).to_contain_text("is in CANCELLED now")


async def test_an_operator_pauses_and_resumes_and_every_page_says_so(flagged: Front, browser: Chromium) -> None:
    page = await browser.signed_in("otto", Role.OPERATOR)
    await page.get_by_label("Pause everything…").click()
    await page.get_by_label("Why? Whoever finds this at night reads it.").first.fill("the gateway answers nonsense")
    await page.get_by_role("button", name="Pause everything").click()
    await expect(page.get_by_role("status")).to_contain_text("Sends are paused: everything")
    assert (await flagged.store.pauses.all())["everything"].who == "otto"
    await browser.see(page, "/ledger")
    await expect(page.get_by_text("by otto: the gateway answers nonsense")).to_be_visible()
    await browser.see(page, "")
    await page.get_by_label("Resume everything…").click()
    await page.get_by_label("Why? Whoever finds this at night reads it.").first.fill("it is well again")
    await page.get_by_role("button", name="Resume everything").click()
    await expect(page.get_by_role("status")).to_contain_text("Sends go on: everything")
    assert await flagged.store.pauses.all() == {}
    await browser.see(page, "/audit")
    rows = page.get_by_role("row")
    await expect(rows.nth(1)).to_contain_text("it is well again")
    await expect(rows.nth(2)).to_contain_text("the gateway answers nonsense")


async def test_everything_can_be_done_from_the_keyboard_and_nothing_dangerous_comes_first(
    flagged: Front, browser: Chromium
) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    page = await browser.signed_in("otto", Role.OPERATOR)
    await browser.see(page, "/records")
    await page.keyboard.press("/")
    await page.keyboard.type(made["id"])
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/records/{made['id']}")
    await page.get_by_role("link", name="Cancel…").focus()
    await page.keyboard.press("Enter")
    await page.get_by_label("Why? The provider reads it.").focus()
    await page.keyboard.type("twice asked for")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "No, back"
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_contain_text("It is in CANCELLED now")


async def test_a_page_is_live_and_keeps_what_somebody_is_typing(flagged: Front, browser: Chromium) -> None:
    page = await browser.signed_in("rita", Role.REVIEWER)
    await browser.see(page, "/review")
    await expect(page.get_by_text("Nothing waits for a person.")).to_be_visible()
    first = await flagged.requested("300")
    await flagged.in_review(first["id"])
    await expect(page.get_by_role("article")).to_have_count(1)
    await page.get_by_label("Why not?").fill("half a sen")
    second = await flagged.requested("200")
    await flagged.in_review(second["id"])
    await page.wait_for_timeout(1500)
    assert await page.get_by_label("Why not?").first.input_value() == "half a sen"


async def test_without_a_script_every_page_still_works(flagged: Front, browser: Chromium) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    page = await browser.signed_in("rita", Role.REVIEWER, script=False)
    await browser.see(page, "/review")
    await page.get_by_role("button", name="Approve").click()
    await flagged.until(made["id"], "COMPLETED")


async def test_a_page_whose_session_ended_elsewhere_asks_to_sign_in(flagged: Front, browser: Chromium) -> None:
    page = await browser.signed_in("vic", Role.VIEWER)
    await expect(page.get_by_text("live")).to_be_visible()
    await Tokens(flagged.store.link).revoke("vic", "otto")
    await flagged.store.audit.note("otto", "pause", "nothing")
    await page.wait_for_url("**/sign-in**")
