"""Ledger, outbox, audit and the switches: what they show is what the store holds, and what they do is written down."""

import asyncio

import aiohttp
import pytest

from machines.core.clock import Millis
from machines.core.errors import StoreUnavailable
from machines.core.ids import RecordId
from machines.core.money import NGN, Money
from machines.core.rail_share import FINE, RailPart
from machines.payout.risk import ProviderHistory
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.ledger import RAILS_OPENED
from payflow.store.outbox import Post
from payflow.store.registers.tokens import Role
from payflow.web import routes as api
from payflow.web.http import app
from payflow.web.pages.admin import live
from payflow.web.pages.admin.frame import DashboardExtensions
from tests.waiting import wait_until
from tests.web.admin.visitor import Visitor
from tests.web.api.front import WAITS, Front, asking


async def test_the_trial_balance_is_made_on_demand_and_says_when_it_does_not_balance(
    visitor: Visitor, flagged: Front
) -> None:
    await flagged.requested("400")
    await visitor.come("otto", Role.OPERATOR)
    await visitor.see("ledger?owner=ann")
    assert "600.00 400.00 0.00 1,000.00" in visitor.text
    assert await visitor.send("ledger/check") == 200
    assert "conserved 1 accounts" in visitor.text
    shard = flagged.store.records.owner_shard(RecordId("ann"))  # type: ignore[arg-type]
    key = f"{{pf:{shard:02d}}}:acct:ann"
    await flagged.store.link.ask("HINCRBY", key, "NGN.paid", 1)
    assert await visitor.send("ledger/check") == 200
    assert "NOT conserved" in visitor.text
    assert "off by -1 units" in visitor.text
    await flagged.store.link.ask("HINCRBY", key, "NGN.paid", -1)


async def test_the_journal_shows_the_newest_postings_of_all_and_leads_to_their_records(
    visitor: Visitor, flagged: Front
) -> None:
    made = await flagged.requested("400")
    await visitor.come("vic", Role.VIEWER)
    text = await visitor.see("ledger")
    assert f"ann available → held NGN 400.00 {made['id']}" in text
    assert f'href="/admin/records/{made["id"]}"' in visitor.page
    assert "shop/income-0" in text
    assert await visitor.get("ledger?after=x") == 400
    assert await visitor.get("ledger?owner=%20%21") == 400


async def test_a_message_that_was_given_up_is_shown_without_secrets_and_delivered_once_more(
    visitor: Visitor, flagged: Front
) -> None:
    made = await flagged.requested("400")
    post = Post(f"{made['id']}/1/1", "webhook", RecordId(made["id"]), await flagged.store.records.now(), {}, 0)
    shard = flagged.store.records.shard_of(post.record)
    content = encode(("webhook", post.record, post.at, {"event": "payout.completed", "token": "hush-hush"}))
    await flagged.store.link.ask("HSET", f"{{pf:{shard:02d}}}:message", post.id, content)
    await flagged.store.link.ask("ZADD", f"{{pf:{shard:02d}}}:undelivered", post.at, post.id)
    await visitor.come("otto", Role.OPERATOR)
    assert "1 message was given up: nobody took it for a day." in visitor.text
    text = await visitor.see("outbox")
    assert "event: payout.completed" in text
    assert "hush" not in visitor.page
    assert await visitor.send("outbox/replay", message=post.id) == 200
    await wait_until(lambda: any(told.id == post.id for told in flagged.told), "it was delivered")
    await visitor.see("outbox")
    assert await visitor.send("outbox/replay", message=post.id) == 404
    assert await visitor.get("outbox") == 200
    assert await visitor.send("outbox/replay", message="nonsense") == 409
    acts = [line.act for line in await flagged.store.audit.page(None, 9)]
    assert acts == [*["refused", "replay"] * 2, "replay", "sign in"]


async def test_the_audit_page_proves_that_no_history_was_changed(visitor: Visitor, flagged: Front) -> None:
    for number in range(130):
        await flagged.store.audit.note("otto", "pause", f"rail:{number}", "why not")
    await visitor.come("otto", Role.OPERATOR)
    text = await visitor.see("audit")
    assert "rail:129" in text
    assert "rail:29 " not in text
    following = visitor.page.partition('" rel="next"')[0].rpartition('href="/admin/')[2]
    assert "rail:29 " in await visitor.see(following)
    await visitor.see("audit")
    assert await visitor.send("audit/check") == 200
    assert "chained without a gap" in visitor.text
    kept = await flagged.store.link.ask("LINDEX", "pf:audit", 7)
    await flagged.store.link.ask("LSET", "pf:audit", 7, kept[:40] + b"x" + kept[41:])
    assert await visitor.send("audit/check") == 200
    assert "line 9 does not follow the one before" in visitor.text


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"scope": "everything", "reason": " "}, "needs a reason"),
        ({"scope": "nonsense", "reason": "x"}, "cannot be paused"),
        ({"scope": "shard:00", "reason": "x"}, "Only Payflow itself"),
        ({"scope": "machine:nothing", "reason": "x"}, "would stop nothing"),
        ({}, "cannot be paused"),
    ],
)
async def test_a_pause_that_would_stop_nothing_is_refused(
    visitor: Visitor, flagged: Front, form: dict[str, str], said: str
) -> None:
    await visitor.come("otto", Role.OPERATOR)
    assert await visitor.send("pause", **form) == 409
    assert said in visitor.text
    assert await flagged.store.pauses.all() == {}


async def test_what_the_guard_closed_is_opened_by_no_button(visitor: Visitor, flagged: Front) -> None:
    now = await flagged.store.records.now()
    await flagged.store.pauses.pause("shard:00", "sequence guard", "the store lost writes", now)
    await visitor.come("otto", Role.OPERATOR)
    assert "Only payflow reconcile opens it again." in visitor.text
    assert await visitor.send("resume", scope="shard:00", reason="x") == 409
    assert "shard:00" in await flagged.store.pauses.all()
    await visitor.get()
    assert await visitor.send("resume", scope="rail:flutterwave", reason="x") == 409
    assert "is not paused" in visitor.text


async def test_a_rail_that_tells_its_balance_is_shown_with_it_and_a_mute_one_holds_no_page_up(
    visitor: Visitor, flagged: Front
) -> None:
    async def rich() -> list[Money]:
        return [Money(123_456_700, NGN)]

    async def broken() -> list[Money]:
        raise StoreUnavailable("10.0.0.7 is gone")

    async def hangs() -> list[Money]:
        await asyncio.sleep(3600)
        return []

    board = DashboardExtensions(
        rails={"flutterwave": rich, "paystack": broken, "ethereum": hangs, "cash": None}, lanes={"hot": None}
    )
    routes = api.pages(flagged.desk, flagged.settings, board)
    async with app.listening(app.application(routes), "127.0.0.1", 0) as address:
        flagged.address = address
        await visitor.come("otto", Role.OPERATOR)
        for words in (
            "Rail flutterwave NGN 1,234,567.00 answered", "Rail paystack does not answer: 10.0.0.7 is gone",
            "Rail ethereum not asked yet", "Rail cash cannot tell its balance", "Lane hot",
        ):  # fmt: skip
            assert words in visitor.text, words
        begun = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - begun < 2, "what hangs does not hold up the end either"


async def test_a_page_that_listens_does_not_hold_up_the_end_of_the_process(visitor: Visitor, flagged: Front) -> None:
    routes = api.pages(flagged.desk, flagged.settings)
    async with app.listening(app.application(routes), "127.0.0.1", 0) as address:
        flagged.address = address
        await visitor.come("vic", Role.VIEWER)
        listening = await flagged.session.get(f"{address}/admin/live", headers={"Cookie": visitor.cookie})
        assert listening.headers["Content-Type"] == "text/event-stream"
        assert b"event: changed" in await listening.content.readuntil(b"\r\n\r\n")
        begun = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - begun < 2
    listening.close()


async def test_one_person_takes_the_live_lines_of_nobody_else(
    visitor: Visitor, flagged: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many sessions they open: lines are counted by who is signed in."""
    monkeypatch.setattr(live, "MOST_LISTENERS", 4)
    monkeypatch.setattr(live, "MOST_OF_ONE", 2)
    async with app.listening(app.application(api.pages(flagged.desk, flagged.settings)), "127.0.0.1", 0) as address:
        flagged.address = address

        async def listens(name: str, role: Role) -> int:
            await visitor.come(name, role)
            answer = await flagged.session.get(f"{address}/admin/live", headers={"Cookie": visitor.cookie})
            return answer.status

        assert [await listens("vic", Role.VIEWER) for _ in range(4)] == [200, 200, 429, 429]
        assert await listens("otto", Role.OPERATOR) == 200


async def test_a_page_that_was_left_gives_its_line_up_though_nothing_is_sent(
    visitor: Visitor, flagged: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_OF_ONE", 1)
    monkeypatch.setattr(live, "TELL_AT_LEAST_EVERY_S", 3600.0)
    async with app.listening(app.application(api.pages(flagged.desk, flagged.settings)), "127.0.0.1", 0) as address:
        flagged.address = address
        await visitor.come("vic", Role.VIEWER)

        async def listens() -> aiohttp.ClientResponse:
            return await flagged.session.get(f"{address}/admin/live", headers={"Cookie": visitor.cookie})

        first = await listens()
        assert (first.status, (await listens()).status) == (200, 429)
        first.close()

        async def there_is_room() -> bool:
            return (await listens()).status == 200

        await wait_until(there_is_room, "the line is free again")


async def test_a_store_that_is_gone_is_told_apart_from_a_form_that_was_refused(
    visitor: Visitor, flagged: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    await visitor.come("otto", Role.OPERATOR)
    csrf = visitor.field("csrf")

    async def gone(*_: object) -> None:
        raise StoreUnavailable("The store at 10.0.0.7 did not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(flagged.store.link, "ask", gone)
        assert await visitor.get("records") == 503
        assert "The store does not answer. Nothing was changed" in visitor.text
        assert "10.0.0.7" not in visitor.page
        assert await visitor.post("pause", csrf=csrf, scope="everything", reason="x") == 503
        assert "it is not known whether this was done" in visitor.text
        assert "Nothing was changed" not in visitor.text
    assert await visitor.get("records") == 200


async def both_sides(front: Front) -> None:
    """A payout that was paid, one under way, a lane's gas, and what statements say."""
    front.known.standing_of_all = ProviderHistory(verified=True, successes=9)
    await front.until((await front.requested("250.50"))["id"], "COMPLETED")
    waits = (await front.ann("POST", "/api/payouts", asking("100", WAITS))).body["id"]
    await front.until(waits, "PROCESSING")
    ledger = front.store.ledger
    rail = (await front.record(waits)).data.rail
    await ledger.book(rail, "NGN", RailPart.FUNDED, 1_000_000 * FINE, "T-1", "top-up")
    await ledger.book(rail, "NGN", RailPart.FEES, 2_687_500_000_000, "F-1", "a charge")
    await ledger.book_balance(rail, "NGN", 960_000 * FINE, Millis(1))
    await ledger.book("ethereum", "ETH", RailPart.GAS, 21_000 * 50_000_000_007, "G-1", "gas")


async def test_the_ledger_shows_both_sides_whether_they_agree_and_what_nobody_can_explain(
    visitor: Visitor, flagged: Front
) -> None:
    await both_sides(flagged)
    await visitor.come("otto", Role.OPERATOR)
    assert await visitor.send("ledger/check") == 200
    assert "holds NGN: 250.50 paid, say the owners' accounts = 250.50 settled + 0.00 fees payees bear" in visitor.text
    assert "100.00 250.50" in visitor.text, "in flight, settled"
    assert "26.875" in visitor.text, "a fee of less than a kobo too"
    assert "0.001050000000147" in visitor.text, "gas to the wei"
    assert "outside → fees NGN 0.005 statement F-1: a charge" in visitor.text, "a posting of less than a kobo"
    assert "9,722.625 9,600.00 -122.625" in visitor.text, "should hold, holds, unexplained"
    await flagged.store.link.ask("HDEL", keys.META, RAILS_OPENED)
    assert "payflow ledger --open" in await visitor.see("ledger")
