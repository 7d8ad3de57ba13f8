"""Every page in a real Chromium, wide and narrow, light and dark: readable by everybody, silent, at home."""

from pathlib import Path
from tempfile import TemporaryDirectory

from machines.core.ids import Owner, RecordId
from machines.payout.risk import ProviderHistory
from payflow.desk.payout_files.files import PayoutFiles
from payflow.desk.person import Person
from payflow.store.registers.batches import Batches
from payflow.store.registers.proposals import Proposal, Proposals
from payflow.store.registers.tokens import Role
from payflow.web.pages.admin import dashboard
from payflow.web.pages.admin.frame import DashboardExtensions
from tests.web.admin.chromium import Chromium, flaws
from tests.web.api.front import ANN, BOUNCES, WAITS, Front, asking

NO_PAGES = {"/", "/review", "/admin/", "/admin/live", "/admin/records.csv"}
"""What leads on, streams or is a file."""


def pages_of(front: Front) -> set[str]:
    """Every page of the dashboard that has an address of its own."""
    routes = dashboard.routes(front.desk, front.settings, DashboardExtensions())
    return {route.path for route in routes if route.method == "GET" and "{" not in route.path} - NO_PAGES


async def busy_day(front: Front) -> dict[str, str]:
    """Leave something on every page: payouts paid, failed, under way and before reviewers, a batch, a pause."""
    front.known.standing_of_all = ProviderHistory(verified=True, successes=9)
    made = {"paid": (await front.requested("250.50"))["id"]}
    await front.until(made["paid"], "COMPLETED")
    for name, account, state in (("failed", BOUNCES, "FAILED"), ("under_way", WAITS, "PROCESSING")):
        made[name] = (await front.ann("POST", "/api/payouts", asking("100", account))).body["id"]
        await front.until(made[name], state)
    front.known.standing_of_all = ProviderHistory()
    made["asked"] = (await front.requested("300", note="July"))["id"]
    await front.in_review(made["asked"])
    store = front.store
    now = await store.records.now()
    await Batches(store.link, store.records).board("20261120-1200", RecordId(made["paid"]), now)
    await store.pauses.pause("machine:payout", "otto", "the gateway answers nonsense", now)
    await store.audit.note("otto", "pause", "machine:payout", "the gateway answers nonsense")
    version = (await front.record(made["under_way"])).version
    seen = {"from": "PROCESSING", "to": "CANCELLED", "proof": "none", "amount": "NGN 100.00"}
    word = Proposal("override", made["under_way"], seen, Role.OPERATOR, "the bank says no", "olga", version, now)
    assert await Proposals(store.link).make(word)
    return made


async def some_file(front: Front) -> str:
    """Send a file that has red rows, and rows that another file has, and waits for reviewers."""
    files, sent = PayoutFiles(front.desk), []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "may.csv"
        for name in ("april", "may"):
            rows = [f"{one}00,NGN,044,069000003{one},{name}-{one}" for one in range(10)]
            path.write_text("\n".join(["amount,currency,bank_code,account_number,reference", *rows, "1,NGN,044,x,y"]))
            uma = Person("uma", Role.OPERATOR)
            sent.append(await files.upload(Owner(ANN), path, f"{name}.csv", "", uma))
    return (await files.leave_out(sent[-1].id, "4,6-8", Person("rita", Role.REVIEWER))).id


async def test_every_page_can_be_used_by_everybody_and_says_nothing_on_the_console(
    flagged: Front, browser: Chromium
) -> None:
    made = await busy_day(flagged)
    record = f"/admin/records/{made['under_way']}"
    seen: dict[str, list[str]] = {}
    page = await browser.window()

    async def look(path: str) -> None:
        await page.goto(flagged.address + path)
        seen[path] = await flaws(page)

    await look("/admin/sign-in")
    await browser.sign_in(page, await flagged.token(Role.OPERATOR, name="otto"))
    for path in (
        "/admin", "/admin/records", "/admin/batches", "/admin/batches/20261120-1200", f"/admin/ledger?owner={ANN}",
        "/admin/files", f"/admin/files/{await some_file(flagged)}",
        "/admin/outbox", "/admin/audit", "/admin/sessions", "/admin/proposals", "/admin/login", "/admin/passkeys",
        record, f"{record}/override?to=CANCELLED", f"/admin/records/{made['failed']}/do/release",
        f"/admin/bulk?verb=release&id={made['failed']}&id={made['under_way']}",
    ):  # fmt: skip
        await look(path)
    assert browser.troubles == []
    await look("/admin/records/payout-00-aaaaaaaaaaaaaaaa")
    assert all("404" in one for one in browser.troubles), "Chromium notes that a page is not there, and nothing else"
    browser.troubles.clear()
    await page.context.clear_cookies()
    await browser.sign_in(page, await flagged.token(Role.REVIEWER, name="rita"))
    await look("/admin/review")
    await page.context.clear_cookies()
    await browser.sign_in(page, await flagged.token(Role.PROVIDER, ANN), "/portal")
    await look("/portal")
    assert {path: told for path, told in seen.items() if told} == {}
    unseen = pages_of(flagged) - {path.partition("?")[0] for path in seen}
    assert unseen == set(), "let this test look at them as well, full of data: `busy_day` leaves something on each page"


async def test_what_finds_flaws_does_find_them(browser: Chromium) -> None:
    page = await browser.window()
    bad = "<p style='color:#ccc'>pale</p><input><img src='data:,'><div style='width:3000px'>wide</div>"
    await page.set_content(f"<html lang='en'><title>x</title><main><h1>x</h1>{bad}</main></html>")
    found = " ".join(await flaws(page))
    for flaw in ("color-contrast", "label", "image-alt", "too wide", "1280 light", "390 dark color-contrast"):
        assert flaw in found
