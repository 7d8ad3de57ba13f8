"""The page of a mining pool: what is due, what is pending and what is proven, the lock, the runs, and resolving."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from machines.core.errors import BadSettings
from payflow.app.installation import opened
from payflow.app.pools import rooms_of
from payflow.config import load
from payflow.desk.dual_control import DualControl
from payflow.desk.person import Person
from payflow.desk.pool import not_a_payment
from payflow.desk.pool.room import PoolRooms
from payflow.store.registers.tokens import Role
from payflow.telemetry.metrics import Metrics
from tests.adapters.open_ethereum_pool.mine import payouts_json, write_config
from tests.chain import LANE, Anvil, anvil
from tests.desk import UNLIMITED
from tests.servers import Deployment, Farm, Server
from tests.waiting import wait_until
from tests.web.admin.chromium import chromium, flaws
from tests.web.admin.stand import EXPLORER, Stand, open_stand, serving
from tests.web.admin.visitor import Visitor

ANN = "0xb85150eb365e7df0941f0cf08235f987ba91506a"
BOB = "0x5a0b54d5dc17e0aadc383d2db43b0a0d3e029c4c"
AMOUNT = 600_000_000


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain that mines each transaction at once."""
    async with anvil(slots_in_an_epoch=1) as chain:
        await chain.mine(3)
        yield chain


@pytest.fixture
def redis(own: Farm) -> Server:
    """The pool's Redis."""
    return own.server(tcp=True)


@pytest.fixture
async def stand(server: Deployment, redis: Server, chain: Anvil, tmp_path: Path) -> AsyncIterator[Stand]:
    """An installation whose dashboard shows a pool."""
    async with open_stand(server, redis, chain, tmp_path) as stand:
        yield stand


async def left_by_the_old_module(stand: Stand, login: str = ANN, *, sent: bool) -> str:
    """Debit and send, or only debit; then the old module dies."""
    block = await stand.chain.block(await stand.chain.height())
    stand.mine.earn(login, AMOUNT)
    stand.mine.debit(login, AMOUNT, int(block["timestamp"], 16))
    return await stand.world.mined(await stand.world.old_payer_sends(login, AMOUNT)) if sent else ""


async def seen(visitor: Visitor, words: str, path: str = "pool/eth") -> str:
    """Read the page until it says something: what it asks of others it keeps for some seconds."""

    async def there() -> bool:
        return words in await visitor.see(path)

    await wait_until(there, f"{path} says {words!r}")
    return visitor.text


async def test_it_says_who_is_due_what_that_costs_and_after_a_run_what_became_of_it(stand: Stand) -> None:
    stand.mine.earn(ANN, AMOUNT)
    stand.mine.earn(BOB, AMOUNT * 2)
    visitor = await Visitor(stand).come("vic", Role.VIEWER)
    assert 'href="/admin/pool">Pool</a>' in visitor.page
    assert await visitor.get("pool") == 303
    text = await seen(visitor, "2 miners")
    for words in (
        "more than 500,000,000 Shannon, every 2h0m0s", "ETH 1.80 , 1,800,000,000 Shannon", "about ETH 0.0",
        f"{ANN} 600,000,000", "Payouts are not locked", "Nothing is pending", "Address has ETH 10,000.00",
        "No run has paid anybody yet",
    ):  # fmt: skip
        assert words in text, (words, text)
    async with stand.world.working():
        assert (await stand.world.run()).paid == 2
    text = await seen(visitor, "0 miners")
    assert "2 PAID" in text
    assert "1,800,000,000" in text
    run = visitor.page.partition('href="/admin/pool/eth/runs/')[2].partition('"')[0]
    text = await visitor.see(f"pool/eth/runs/{run}")
    assert "2 payments; ETH 1.80 arrived, and the network took ETH 0.0" in text
    assert await visitor.get("pool/eth/runs/1") == 404
    assert await visitor.get("pool/doge") == 404


async def test_a_miner_is_found_by_his_login_and_his_payment_says_where_his_money_is(stand: Stand) -> None:
    stand.mine.earn(ANN, AMOUNT)
    async with stand.world.working():
        await stand.world.run()
    (paid,) = await stand.world.records("PAID")
    visitor = await Visitor(stand).come("vic", Role.VIEWER)
    assert paid.id in await visitor.see(f"records?q={ANN}")
    text = await visitor.see(f"records/{paid.id}")
    assert f"With the miner, at {paid.data.to}." in text
    assert f'href="{EXPLORER}{paid.data.hash}"' in visitor.page
    inner = visitor.page.partition("Its payment in the lane")[2].partition("/records/")[2].partition('"')[0]
    text = await visitor.see(f"records/{inner}")
    assert f"Pays for {paid.id} PAID" in text
    assert f"ETH 0.6 to {paid.data.to}" in text
    assert inner in await visitor.see(f"records?q={paid.data.hash}")


async def test_resolving_shows_the_evidence_first_and_does_exactly_that_by_an_operator_s_word(
    stand: Stand, chromium_address: str
) -> None:
    stand.mine.earn(BOB, AMOUNT)
    async with stand.world.working():
        assert (await stand.world.run()).paid == 1
    tx = await left_by_the_old_module(stand, sent=True)
    viewer = await Visitor(stand).come("vic", Role.VIEWER)
    text = await seen(viewer, "locked by somebody else")
    assert "another payer paid" in text
    assert f'href="{EXPLORER}{tx}"' in viewer.page
    assert "Resolve…" not in text
    assert await viewer.get("pool/eth/resolve") == 403
    before = stand.mine.everything()
    assert await viewer.post("pool/eth/resolve", csrf=viewer.field("csrf"), reason="x", seen="x") == 403
    async with chromium(stand, chromium_address) as browser:
        page = await browser.signed_in("otto", Role.OPERATOR)
        found = {}
        await browser.see(page, "/pool/eth")
        await page.get_by_text("locked by somebody else").wait_for()
        found["pool"] = await flaws(page)
        await page.get_by_role("link", name="Resolve…").click()
        await page.get_by_text("Booked as paid, with the transaction: 1.").wait_for()
        found["resolve"] = await flaws(page)
        assert stand.mine.everything() == before, "looking changes nothing"
        await page.get_by_label("Why? The audit log keeps it.").fill("the old module died")
        await page.get_by_role("button", name="Resolve").click()
        await page.get_by_text("1 booked as paid, 0 credited back, 0 left as they are. Payouts").wait_for()
        assert {name: told for name, told in found.items() if told} == {}
    assert stand.mine.history(ANN) == [f"{tx}:{AMOUNT}"]
    assert (stand.mine.pending(), stand.mine.lock()) == ([], None)
    lines = [(line.who, line.act, line.why) for line in await stand.store.audit.page(None, 10)]
    assert ("otto", "resolve pool", "the old module died") in lines
    assert any(act == "resolved as paid" for _, act, _ in lines)


async def test_what_is_said_to_be_no_payment_is_confirmed_on_the_page_of_proposals(stand: Stand) -> None:
    """Proposed at a command line; the dashboard opens the pool's books for the second person."""
    stand.mine.earn(ANN, AMOUNT)
    gift = await stand.world.mined(await stand.world.old_payer_sends(ANN, 5))
    await stand.world.run()
    two = DualControl(stand.store, [not_a_payment.verb(PoolRooms(()))])
    _, strays = await stand.world.desk().forgotten()
    (stray,) = not_a_payment.chosen(strays, [gift])
    await not_a_payment.propose(two, "eth", stray, "a gift", Person("olu", Role.OPERATOR, "boss"))
    visitor = await Visitor(stand).come("otto", Role.OPERATOR)
    assert "they are paid twice" in await visitor.see("proposals")
    assert await visitor.press("Confirm") == 200
    assert f"{gift} to {ANN} counts as something else" in visitor.text
    assert (await stand.world.desk().forgotten())[1] == []


async def test_what_changed_since_the_preview_is_not_resolved_and_what_is_not_proven_is_left(stand: Stand) -> None:
    await left_by_the_old_module(stand, sent=False)
    visitor = await Visitor(stand).come("otto", Role.OPERATOR)
    text = await visitor.see("pool/eth/resolve")
    assert "not proven" in text
    form, shown = visitor.page, visitor.field("seen")
    assert await visitor.send("pool/eth/resolve", seen=shown, reason=" ") == 409
    visitor.page = form
    await stand.world.mined(await stand.world.old_payer_sends(ANN, AMOUNT))
    assert await visitor.send("pool/eth/resolve", seen=shown, reason="I looked") == 409
    assert "look again" in visitor.text
    assert stand.mine.pending() == [f"{ANN}:{AMOUNT}"]
    await left_by_the_old_module(stand, BOB, sent=False)
    await visitor.see("pool/eth/resolve")
    assert await visitor.send("pool/eth/resolve", seen=visitor.field("seen"), reason="I looked") == 200
    assert "left as they are" in visitor.text
    assert f"{BOB}:{AMOUNT}" in stand.mine.pending()
    assert stand.mine.lock() is not None


async def test_a_lock_that_nothing_holds_is_taken_away_by_resolving(stand: Stand) -> None:
    stand.mine.do("SETNX", "eth:payments:lock", f"{ANN}:{AMOUNT}")
    visitor = await Visitor(stand).come("otto", Role.OPERATOR)
    assert "No pending payments to resolve" in await visitor.see("pool/eth/resolve")
    word = {"seen": visitor.field("seen"), "reason": "the old module died before it took anything"}
    assert await visitor.send("pool/eth/resolve", **word) == 200
    assert "Payouts unlocked" in visitor.text
    assert stand.mine.lock() is None


async def test_a_pool_whose_redis_is_gone_is_said_to_be_and_nothing_else_suffers(stand: Stand, redis: Server) -> None:
    redis.stop()
    visitor = await Visitor(stand).come("otto", Role.OPERATOR)
    await seen(visitor, "The pool cannot be looked at")
    assert await visitor.get("pool/eth/resolve") >= 400
    assert await visitor.get("records") == 200


async def test_a_process_that_pays_no_pool_shows_it_all_the_same_and_asks_its_lane_before_an_override(
    stand: Stand,
) -> None:
    stand.mine.earn(ANN, AMOUNT)
    async with stand.world.working():
        await stand.world.run()
    (paid,) = await stand.world.records("PAID")
    async with opened(stand.payflow.settings) as payflow, serving(payflow, stand.world) as other:
        visitor = await Visitor(other).come("olga", Role.OPERATOR)
        await seen(visitor, "Payouts are not locked")
        text = await visitor.see(f"records/{paid.id}/override?to=CREDITED")
        assert "The rail proves that it was paid." in text


async def test_two_files_for_one_coin_are_refused_before_anything_is_opened(tmp_path: Path, redis: Server) -> None:
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for file in files:
        write_config(file, payouts_json(redis, "http://127.0.0.1:9", LANE.address))
    settings = load({"PAYFLOW_POOLS": f"{files[0]}, {files[1]}"})
    async with AsyncExitStack() as stack:
        with pytest.raises(BadSettings, match="two files for the coin eth"):
            rooms_of(settings, UNLIMITED, Metrics(), stack)
        with pytest.raises(BadSettings, match="cannot be read"):
            rooms_of(load({"PAYFLOW_POOLS": str(tmp_path / "none.json")}), UNLIMITED, Metrics(), stack)
