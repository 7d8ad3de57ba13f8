"""Lanes on the dashboard: where they stand, what they sent, and what operators do about it, on a real chain."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from payflow.store.registers.tokens import Role
from tests.chain import GWEI, OTHER, Anvil, anvil, stranger
from tests.servers import Deployment, Farm
from tests.waiting import wait_until
from tests.web.admin.chromium import chromium, flaws
from tests.web.admin.stand import Stand, open_stand
from tests.web.admin.test_pool import seen
from tests.web.admin.visitor import Visitor


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain that mines each transaction at once, until it is told not to."""
    async with anvil(slots_in_an_epoch=1) as chain:
        await chain.mine(3)
        yield chain


@pytest.fixture
async def stand(server: Deployment, own: Farm, chain: Anvil, tmp_path: Path) -> AsyncIterator[Stand]:
    """An installation with a lane."""
    async with open_stand(server, own.server(tcp=True), chain, tmp_path) as stand:
        yield stand


async def halted(stand: Stand) -> tuple[str, str, str]:
    """Let somebody else pay one of two payments that wait, so that the lane stops; gives both and his transaction."""
    first = await stand.pay("first")

    async def settled() -> bool:
        await stand.lane.poke()
        return (await stand.store.records.read(first.id)).record.state == "SETTLED"

    await wait_until(settled, "the first payment is settled")
    await stand.lane.pause()
    to = stranger()
    paid, unpaid = await stand.pay("second", to), await stand.pay("third", to)
    tx = await stand.chain.send(OTHER, to, 1_500_000_000 * GWEI)
    await stand.chain.mine(4)

    async def stopped() -> bool:
        await stand.lane.poke()
        return (await stand.lane_record()).state == "HALTED"

    await wait_until(stopped, "the lane stops")
    return paid.id, unpaid.id, tx


async def test_the_first_page_says_where_each_lane_stands_and_its_switch_stops_it(stand: Stand) -> None:
    await stand.chain.automine(on=False)
    await stand.pay("one")
    async with stand.world.working():
        await stand.sent()
        visitor = await Visitor(stand).come("otto", Role.OPERATOR)
        text = await seen(visitor, "127.0.0.1:9 : does not answer", "")
        for words in (
            "Lane ethereum ETH 10,000.00 its nodes answered", "OPEN next nonce 1 · 1 in flight · 0 queued",
            f"{OTHER.address} on chain 31337", ": keeps up", "Lane pool", "Rail ethereum ETH 10,000.00",
        ):  # fmt: skip
            assert words in text, (words, text)
        assert await visitor.send("pause", scope="lane:ethereum", reason="a look at it") == 200
        assert "Sends are paused: the lane ethereum" in visitor.text
        assert set(await stand.store.pauses.all()) == {"lane:ethereum"}


async def test_a_transaction_is_offered_more_for_and_replaced_by_nothing(stand: Stand) -> None:
    await stand.chain.automine(on=False)
    payment = await stand.pay("one")
    async with stand.world.working():
        transaction = await stand.sent()
        viewer = await Visitor(stand).come("vic", Role.VIEWER)
        text = await viewer.see(f"records/{transaction.id}")
        assert f"With the sender {OTHER.address}, until it is mined." in text
        assert f"Carries {payment.id} SENDING" in text
        assert transaction.data.newest.hash in text
        assert transaction.data.newest.raw not in viewer.page, "signed bytes are nobody's business"
        assert await viewer.post(f"records/{transaction.id}/do/bump", csrf=viewer.field("csrf")) == 403

        otto = await Visitor(stand).come("otto", Role.OPERATOR)
        await otto.see(f"records/{transaction.id}/do/bump")
        assert "Only one of all its attempts can ever be mined." in otto.text
        assert await otto.send(f"records/{transaction.id}/do/bump", seen=otto.field("seen"), reason="slow") == 200

        async def offered_more() -> bool:
            found = (await stand.lane.transaction(0)).data
            return len(found.attempts) == 2 and found.newest.sent

        await wait_until(offered_more, "more is offered")
        await otto.see(f"records/{transaction.id}/do/cancel")
        word = {"seen": otto.field("seen"), "reason": "the wrong recipient"}
        assert await otto.send(f"records/{transaction.id}/do/cancel", **word) == 200

        async def empty() -> bool:
            newest = (await stand.lane.transaction(0)).data.newest
            return newest.empty and newest.sent

        await wait_until(empty, "it is to be replaced by nothing")
        for attempt in (await stand.lane.transaction(0)).data.attempts:
            text = await otto.see(f"records?q=0x{attempt.hash[2:].upper()}")
            assert transaction.id in text
            assert payment.id in text
        assert "No such record" in await otto.see(f"records?q=0x{'7' * 64}")
        await stand.chain.mine(3)
        await stand.lane.until_nonce(0, "DISPLACED")
        text = await otto.see(f"records/{payment.id}")
        assert "With the lane: it is proven that it did not go out." in text
        assert await otto.get(f"records/{transaction.id}/do/cancel") == 409
    done = [(line.who, line.act, line.why) for line in await stand.store.audit.page(None, 10)]
    assert ("otto", "bump", "slow") in done
    assert ("otto", "cancel", "the wrong recipient") in done


async def test_a_payment_that_nothing_is_signed_for_is_taken_back_and_found_by_its_key(stand: Stand) -> None:
    payment = await stand.pay("payout-00-aaaaaaaaaaaaaaaa-1")
    otto = await Visitor(stand).come("otto", Role.OPERATOR)
    assert payment.id in await otto.see("records?q=payout-00-aaaaaaaaaaaaaaaa-1")
    text = await otto.see(f"records/{payment.id}")
    assert "With the lane: nothing is signed for it." in text
    assert f"ETH 1.5 to {payment.data.to}" in text
    await otto.see(f"records/{payment.id}/do/withdraw")
    word = {"seen": otto.field("seen"), "reason": "asked for twice"}
    assert await otto.send(f"records/{payment.id}/do/withdraw", **word) == 200
    assert (await stand.store.records.read(payment.id)).record.state == "FAILED"


async def test_a_lane_that_stopped_is_opened_by_saying_what_was_paid_from_outside(
    stand: Stand, chromium_address: str
) -> None:
    async with stand.world.working():
        paid, unpaid, tx = await halted(stand)
        lane = (await stand.lane_record()).id
        async with chromium(stand, chromium_address) as browser:
            page = await browser.signed_in("otto", Role.OPERATOR)
            found = {"overview": await flaws(page)}
            await page.get_by_role("link", name="The lane ethereum stopped").click()
            found["lane"] = await flaws(page)
            await page.get_by_role("link", name="Open the lane…").click()
            found["adopt"] = await flaws(page)
            assert {name: told for name, told in found.items() if told} == {}
            await page.get_by_label(f"{paid} was paid").check()
            await page.get_by_label("How do you know?").fill("I looked at it")
            await page.get_by_role("button", name="Open the lane").click()
            await page.get_by_text("It is in OPEN now").wait_for()
        record = (await stand.store.records.read(paid)).record  # type: ignore[arg-type]
        assert (record.state, record.data.hash) == ("SETTLED", tx)
        assert (await stand.store.records.read(unpaid)).record.state == "QUEUED"  # type: ignore[arg-type]
        visitor = await Visitor(stand).come("olga", Role.OPERATOR)
        assert await visitor.get(f"records/{lane}/do/adopt") == 409
    assert any((line.who, line.act) == ("otto", "adopt") for line in await stand.store.audit.page(None, 10))


async def test_what_is_ticked_must_still_be_a_suspect(stand: Stand) -> None:
    async with stand.world.working():
        paid, _, tx = await halted(stand)
        lane = (await stand.lane_record()).id
        visitor = await Visitor(stand).come("otto", Role.OPERATOR)
        await visitor.see(f"records/{lane}/do/adopt")
        word = {"seen": visitor.field("seen"), "reason": "x"}
        assert await visitor.send(f"records/{lane}/do/adopt", **word, pick=f"{paid} 0x{'7' * 64}") == 409
        assert "is no suspect of the lane ethereum any more" in visitor.text
        assert tx
        assert (await stand.lane_record()).state == "HALTED"
