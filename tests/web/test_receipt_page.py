"""The page that checks receipts in a browser: it holds what the other two verifiers hold, and asks nobody."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from machines.core.clock import FixedClock
from payflow.config import Settings
from payflow.desk.receipts.receipts import Receipts
from payflow.desk.receipts.signing import signed
from payflow.store.receipt_keys import ReceiptKeys
from payflow.web import routes
from tests.chain import Anvil, anvil
from tests.chains.batches import existing, made_contract
from tests.chains.test_tokens import NORMAL, UNITS, made_token, opened
from tests.lanes import USD, Station
from tests.web.admin.chromium import EXECUTABLE

PAGE = Path(routes.__file__).parent / "pages/static/verify-receipt.html"


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """The page, saved on a disk, in a browser without a network."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=["--no-sandbox"])
        context = await browser.new_context(offline=True)
        opened = await context.new_page()
        await opened.goto(PAGE.as_uri())
        yield opened
        await browser.close()


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain that mines when it is told to."""
    async with anvil(mining=False) as chain:
        yield chain


@pytest.fixture
async def station(settings: Settings, chain: Anvil, clock: FixedClock) -> AsyncIterator[Station]:
    """A lane with a token, and the contract that pays many."""
    token, contract = await made_token(chain, NORMAL), await made_contract(chain)
    async with opened(settings, chain, clock, token, contract) as station:
        yield station


async def _said(page: Page, file: bytes, key: str = "") -> tuple[str, str]:
    """Give a file to the page; tells how its answer looks, and its words."""
    await page.evaluate("says.className = ''; document.getElementById('file').value = ''")
    await page.fill("#key", key)
    await page.set_input_files("#file", {"name": "receipt.json", "mimeType": "application/json", "buffer": file})
    answer = page.locator("#says.holds, #says.fails, #says.unknown")
    await answer.wait_for()
    return str(await answer.get_attribute("class")), await answer.inner_text()


async def test_what_holds_holds_in_the_browser_and_what_does_not_does_not(
    page: Page, station: Station, chain: Anvil
) -> None:
    first, *more = await existing(chain, 7)
    alone, token = station.payment("p-1", first), station.payment("t-1", first, UNITS, USD)
    batch = [station.payment(f"p-{number + 2}", to) for number, to in enumerate(more)]
    async with station.worker():
        await station.pay(alone, token)
        await station.until_settled([alone, token])
        station.set_policy(batch_wait_s=5, batch_size=len(batch))
        await station.pay(*batch)
        await station.until_settled(batch)
    receipts, keys = Receipts(station.store, station.lanes), station.store.receipt_keys
    for payment, how in ((alone, "plain"), (token, "token"), (batch[2], "batch")):
        record = await station.record(payment)
        for file in (await receipts.file(record.id, staff=True), await receipts.page(record.id, staff=True)):
            assert (await _said(page, file, keys.known[0].hex()))[0] == "holds"
            assert (await _said(page, file, "0" * 64))[0] == "fails"
            assert (await _said(page, file))[0] == "unknown"
            for at in range(0, len(file), len(file) // 23):
                changed = file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]
                assert (await _said(page, changed))[0] == "fails", (how, at)
        body = json.loads(await receipts.file(record.id, staff=True))["body"]
        assert body["chain"]["pays"]["how"] == how
        more_paid = {**body["chain"], "pays": {**body["chain"]["pays"], "units": str(10**17)}}
        assert (await _said(page, signed({**body, "chain": more_paid}, keys)))[0] == "fails"
        _, words = await _said(
            page, signed(body, ReceiptKeys(["somebody else's key, which is long"])), keys.known[0].hex()
        )
        assert "another key" in words
