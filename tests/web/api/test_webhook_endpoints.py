"""A platform listens where it says: what it hears is signed, in order, logged, and sent once more when it asks."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from adapters.notify.platforms import WebhookAnswer, WebhookSender
from machines.core.clock import HOUR, FixedClock, Millis, SystemClock
from machines.core.decision import keep
from machines.core.errors import PutOff, Retryable
from machines.core.facts import Nothing
from machines.core.ids import RecordId
from machines.payout.data import news
from payflow.config import Settings
from payflow.desk.webhooks.deliveries import MOST_AFTER_FAILURE, PlatformDeliveries
from payflow.desk.webhooks.endpoints import MOST_ENDPOINTS, fixed_endpoints
from payflow.engine.dispatcher import Dispatcher
from payflow.store import keys
from payflow.store.outbox import Post
from payflow.store.registers.tokens import Role, Tokens, TokenScope
from tests.adapters.notify.shop import Heard, Shop, open_shop
from tests.waiting import wait_until
from tests.web.api.front import ANN, SHOP, Front, open_front

PLACE = "/api/webhook-endpoints"
IN_SETTINGS = "whsec_" + "c2VjcmV0cyBvZiB0aGUgc2V0dGluZ3Mu"
Json = dict[str, Any]


@dataclass
class Stall:
    """The API, a shop and another place where its platform listens, and what delivers to them when the test says so."""

    front: Front
    shop: Shop
    other: Shop
    clock: FixedClock
    dispatcher: Dispatcher

    async def listen(self, shop: Shop, **more: object) -> Json:
        answer = await self.front.shop("POST", PLACE, {"url": shop.url, **more})
        assert answer.status == 201, answer.body
        return dict(answer.body)

    async def happens(self, payout: str, *events: str) -> None:
        """Let the machine say something of a payout, as a commit does."""
        for event in events:
            stored = await self.front.store.records.read(RecordId(payout))
            said = keep("said", messages=news(stored.record, event, reference="r-1", reason="because", next="wait"))
            await self.front.store.records.commit(stored, said, Nothing(), "test")

    async def deliver(self) -> None:
        """Deliver all that is due."""
        while await self.dispatcher.deliver_due():
            pass

    async def log(self, name: str) -> list[Json]:
        return list((await self.front.shop("GET", f"{PLACE}/{name}/deliveries")).body["deliveries"])


@asynccontextmanager
async def stall(settings: Settings, **more: Any) -> AsyncIterator[Stall]:
    clock = FixedClock()
    async with (
        open_shop() as shop,
        open_shop() as other,
        open_front(settings, clock=clock, webhooks_to_loopback=True, **more) as front,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        await front.earn("5000")
        sender = WebhookSender(session, SystemClock())
        platforms = PlatformDeliveries(front.store, fixed_endpoints(front.store.settings), sender.send)

        async def nobody(_: object) -> None:
            """Tell nobody else."""

        handlers = {"webhook": platforms.spread, "delivery": platforms.deliver, "notify": nobody, "batch": nobody}
        dispatcher = Dispatcher(front.store.outbox, front.metrics, handlers)
        yield Stall(front, shop, other, clock, dispatcher)


def said(heard: Sequence[Heard]) -> list[tuple[str, str]]:
    bodies = [json.loads(one.raw) for one in heard]
    return [(one["type"], one["data"]["id"]) for one in bodies]


async def test_a_platform_listens_and_verifies_what_it_hears_and_changes_its_secret_without_a_gap(
    settings: Settings,
) -> None:
    async with stall(settings) as desk:
        made = await desk.listen(desk.shop, note="for the tills")
        secret = made.pop("secret")
        payout = await desk.front.requested("100")
        await desk.happens(payout["id"], "completed")
        await desk.deliver()
        (heard,) = desk.shop.heard
        event = Webhook(secret).verify(heard.raw, heard.headers)
        assert event["type"] == "payout.completed"
        assert event["data"] == {
            "id": payout["id"], "payout": payout["id"], "owner": ANN, "status": "paid", "version": 2,
            "amount": "100.00", "currency": "NGN", "arrives": "100.00", "destination": "044 ••••0031",
            "reference": "r-1", "reason": "because", "next": "wait",
        }  # fmt: skip
        shown = (await desk.front.shop("GET", f"{PLACE}/{made['id']}")).body
        assert shown == made, "the secret is shown once"
        rotated = (await desk.front.shop("POST", f"{PLACE}/{made['id']}/rotate", {"overlap_s": 3600})).body
        assert rotated["old_secret_until"]
        for passed, verify in ((0, (secret, rotated["secret"])), (3600, (rotated["secret"],))):
            desk.clock.advance(passed)
            await desk.happens(payout["id"], "reversed")
            await desk.deliver()
            heard = desk.shop.heard[-1]
            assert len(heard.headers["webhook-signature"].split()) == len(verify)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(heard.raw, heard.headers)
        await in_no_clear_text(desk, secret, rotated["secret"])
        acts = [(line.who, line.act, line.subject) for line in await desk.front.store.audit.page(None, 9)]
        assert {
            ("platform-shop", act, made["id"]) for act in ("make webhook endpoint", "rotate webhook secret")
        } <= set(acts)


async def in_no_clear_text(desk: Stall, *secrets: str) -> None:
    link = desk.front.store.link
    rows = await link.ask("HGETALL", keys.webhook_endpoints(SHOP))
    log = await link.ask("XRANGE", keys.webhook_log(next(iter(rows)).decode()), "-", "+")
    audit = await desk.front.store.audit.page(None, 50)
    for secret in secrets:
        assert secret.removeprefix("whsec_") not in f"{rows} {log} {audit}"


async def test_a_later_event_of_a_payout_never_comes_before_an_earlier_one_and_the_others_go_on(
    settings: Settings,
) -> None:
    """One endpoint is down while payouts move on; its events wait, each payout's in their order, another's do not."""
    async with stall(settings) as desk:
        await desk.listen(desk.shop)
        await desk.listen(desk.other)
        one, two = (await desk.front.requested("100"))["id"], (await desk.front.requested("101"))["id"]
        moves = ("received", "approved", "failed", "completed")
        desk.shop.status = 500
        await desk.happens(one, *moves)
        await desk.deliver()
        await desk.happens(two, *moves)
        await desk.deliver()
        assert said(desk.other.heard) == [(f"payout.{move}", payout) for payout in (one, two) for move in moves]
        assert set(said(desk.shop.heard)) == {("payout.received", one), ("payout.received", two)}
        desk.shop.status = 200
        first = {heard.headers["webhook-id"] for heard in desk.shop.heard}
        desk.shop.heard.clear()
        desk.clock.advance(3600)
        await desk.deliver()
        for payout in (one, two):
            assert [name for name, of in said(desk.shop.heard) if of == payout] == [f"payout.{move}" for move in moves]
        assert first == {heard.headers["webhook-id"] for heard in desk.shop.heard[:2]}, "the same id as at first"
        versions = [json.loads(heard.raw)["data"]["version"] for heard in desk.other.heard]
        assert versions == [2, 3, 4, 5] * 2


async def test_an_endpoint_hears_what_it_asked_for_and_while_it_is_off_nothing_and_all_of_it_when_it_asks(
    settings: Settings,
) -> None:
    async with stall(settings) as desk:
        name = (await desk.listen(desk.shop, events=["payout.completed", "payout.failed"]))["id"]
        payout = (await desk.front.requested("100"))["id"]
        await desk.happens(payout, "received", "completed")
        await desk.deliver()
        assert said(desk.shop.heard) == [("payout.completed", payout)]
        off = await desk.front.operator("PATCH", f"{PLACE}/{name}", {"enabled": False})
        assert (off.status, off.body["enabled"]) == (200, False)
        await desk.happens(payout, "failed")
        await desk.deliver()
        assert len(desk.shop.heard) == 1
        missed, _ = await desk.log(name)
        assert (missed["type"], missed["attempt"], missed["delivered"]) == ("payout.failed", 0, False)
        await desk.front.shop("PATCH", f"{PLACE}/{name}", {"enabled": True})
        since = missed["happened_at"]
        replayed = await desk.front.shop("POST", f"{PLACE}/{name}/replay", {"since": since})
        assert replayed.status == 200
        await desk.deliver()
        assert desk.shop.heard[-1].headers["webhook-id"] == missed["id"]
        again = await desk.front.shop("POST", f"{PLACE}/{name}/replay", {"since": since})
        assert (again.status, again.code) == (429, "too_many_requests")
        desk.clock.advance(60)
        one = await desk.front.shop("POST", f"{PLACE}/{name}/replay", {"delivery": missed["id"]})
        assert one.body == {"replayed": 1}
        desk.clock.advance(60)
        none = await desk.front.shop("POST", f"{PLACE}/{name}/replay", {"delivery": "payout-00-x/1/1"})
        assert none.status == 404


async def test_the_log_says_what_was_answered_page_by_page_and_a_day_later_what_was_given_up_is_replayed(
    settings: Settings,
) -> None:
    async with stall(settings) as desk:
        name = (await desk.listen(desk.shop))["id"]
        desk.shop.status, desk.shop.answer = 503, b"try later"
        payout = (await desk.front.requested("100"))["id"]
        await desk.happens(payout, "completed")
        for _ in range(40):
            await desk.deliver()
            desk.clock.advance(3600)
        assert len(desk.shop.heard) == 34
        newest, *_ = await desk.log(name)
        assert (newest["attempt"], newest["status"], newest["answer"]) == (34, 503, "try later")
        page = (await desk.front.shop("GET", f"{PLACE}/{name}/deliveries?limit=10")).body
        rest = (await desk.front.shop("GET", f"{PLACE}/{name}/deliveries?limit=30&cursor={page['next']}")).body
        assert [one["attempt"] for one in page["deliveries"] + rest["deliveries"]] == [*range(34, 0, -1)]
        assert rest["next"] is None
        await desk.front.store.webhook_log.forget(name)
        desk.shop.status = 200
        replayed = await desk.front.shop("POST", f"{PLACE}/{name}/replay", {"since": "2000-01-01"})
        assert replayed.body == {"replayed": 1}
        await desk.deliver()
        assert len({heard.headers["webhook-id"] for heard in desk.shop.heard}) == 1
        assert len(desk.shop.heard) == 35
        assert await desk.front.store.outbox.undelivered() == []


async def test_who_writes_into_the_log_or_the_register_beside_us_sends_nothing(settings: Settings) -> None:
    """A line of a log that nobody of us wrote is not replayed, and an endpoint that nobody of us made hears nothing."""
    async with stall(settings) as desk:
        name, link = (await desk.listen(desk.shop))["id"], desk.front.store.link
        payout = (await desk.front.requested("100"))["id"]
        await desk.happens(payout, "received")
        await desk.deliver()
        key = keys.webhook_log(name)
        ((_, fields),) = await link.ask("XRANGE", key, "-", "+")
        content = dict(fields)[b"a"] if isinstance(fields, dict) else fields[1]
        forged = content.replace(b"payout.received", b"payout.completed"[:15])
        await link.ask("DEL", key)
        await link.ask("XADD", key, "*", "a", forged)
        assert await desk.log(name) == []
        register = keys.webhook_endpoints(SHOP)
        row = await link.ask("HGET", register, name)
        await link.ask("HSET", register, f"{SHOP}.mallory", row)
        listed = (await desk.front.shop("GET", PLACE)).body["endpoints"]
        assert [one["id"] for one in listed] == [name]
        assert (await desk.front.shop("GET", f"{PLACE}/{SHOP}.mallory")).status == 404
        await link.ask("HDEL", register, f"{SHOP}.mallory")


async def test_endpoints_of_the_settings_go_on_are_shown_and_are_not_changed_here(settings: Settings) -> None:
    async with open_shop() as before:
        hook = {SHOP: {"url": before.url, "secret": IN_SETTINGS}}
        async with stall(settings, platform_webhooks=hook) as desk:
            name = f"{SHOP}.settings"
            await desk.listen(desk.shop)
            payout = (await desk.front.requested("100"))["id"]
            await desk.happens(payout, "completed")
            await desk.deliver()
            assert len(desk.shop.heard) == len(before.heard) == 1
            Webhook(IN_SETTINGS).verify(before.heard[0].raw, before.heard[0].headers)
            first, second = (await desk.front.shop("GET", PLACE)).body["endpoints"]
            assert (first["id"], first["in_settings"], second["in_settings"]) == (name, True, False)
            for method, path, body in (
                ("PATCH", name, {"enabled": False}),
                ("POST", f"{name}/rotate", {}),
                ("DELETE", name, None),
            ):
                refused = await desk.front.shop(method, f"{PLACE}/{path}", body)
                assert (refused.status, "PAYFLOW_PLATFORM_WEBHOOKS" in refused.body["error"]["message"]) == (409, True)
            assert len(await desk.log(name)) == 1


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": "http://shop.example/"}, ""),
        ({"url": "https://10.0.0.1/"}, ""),
        ({"url": "https://[fd00::1]/"}, ""),
        ({"url": "https://169.254.169.254/"}, ""),
        ({"url": "https://u:p@shop.example/"}, ""),
        ({"url": "https://shop.example/" + "x" * 500}, "url"),
        ({"url": "https://shop.example/", "events": ["payout.imagined"]}, ""),
        ({"url": "https://shop.example/", "events": ["x"] * 100}, "events"),
        ({"url": "https://shop.example/", "note": "x" * 201}, "note"),
        ({"url": "https://shop.example/", "secret": "whsec_mine"}, "secret"),
        ({}, "url"),
    ],
)
async def test_where_nothing_may_be_sent_and_what_there_is_not_is_refused_in_words(
    front: Front, given: Mapping[str, object], field: str
) -> None:
    refused = await front.shop("POST", PLACE, dict(given))
    assert (refused.status, refused.body["error"].get("field", "")) == (400, field)
    assert (await front.shop("GET", PLACE)).body == {"endpoints": []}


async def test_a_platform_has_so_many_endpoints_and_no_more_sees_its_own_and_a_narrow_token_changes_none(
    front: Front,
) -> None:
    url = {"url": "https://shop.example/"}
    names = [(await front.shop("POST", PLACE, url)).body["id"] for _ in range(MOST_ENDPOINTS)]
    assert (await front.shop("POST", PLACE, url)).status == 409
    assert (await front.rival("GET", PLACE)).body == {"endpoints": []}
    for method, path in (("GET", ""), ("GET", "/deliveries"), ("POST", "/rotate"), ("PATCH", ""), ("DELETE", "")):
        assert (await front.rival(method, f"{PLACE}/{names[0]}{path}", {} if method != "GET" else None)).status == 404
    narrow = await Tokens(front.store.link).create(
        "looks", Role.PLATFORM, SHOP, "test", scope=TokenScope(reads_only=True)
    )
    assert (await front.call("GET", PLACE, token=narrow)).status == 200
    assert (await front.call("DELETE", f"{PLACE}/{names[0]}", token=narrow)).status == 403
    assert (await front.operator("PATCH", f"{PLACE}/{names[0]}", {"url": "https://mallory.example/"})).status == 403
    assert (await front.shop("DELETE", f"{PLACE}/{names[0]}")).body == {"removed": True}
    assert (await front.shop("POST", PLACE, url)).status == 201
    assert len((await front.reviewer("GET", PLACE)).body["endpoints"]) == MOST_ENDPOINTS


async def test_an_endpoint_that_hangs_is_asked_seldom_so_that_the_others_have_room(settings: Settings) -> None:
    """All that is under way waits for one platform that answers nothing; after the first failure little of it does."""
    async with stall(settings, payout_most_open=0) as desk:
        await desk.listen(desk.shop)
        running, peaks = set[str](), list[int]()

        async def hangs(url: str, secrets: Sequence[str], message: str, event: Mapping[str, Any]) -> WebhookAnswer:
            running.add(message)
            peaks.append(len(running))
            await desk.front.store.records.now()
            running.discard(message)
            return WebhookAnswer(0, "It cannot be reached (TimeoutError).", 10_000)

        platforms = PlatformDeliveries(desk.front.store, {}, hangs)
        handlers = {"webhook": platforms.spread, "delivery": platforms.deliver}
        dispatcher = Dispatcher(desk.front.store.outbox, desk.front.metrics, handlers)
        for _ in range(40):
            await desk.happens((await desk.front.requested("100"))["id"], "received")
        while not peaks:
            await dispatcher.deliver_due()
        assert max(peaks) > MOST_AFTER_FAILURE
        peaks.clear()
        for _ in range(20):
            desk.clock.advance(5)
            await dispatcher.deliver_due()
        assert max(peaks) <= MOST_AFTER_FAILURE


async def test_what_waits_for_an_endpoint_that_fails_comes_ever_more_seldom_and_counts_tries_after_days(
    settings: Settings,
) -> None:
    """Else more and more waits for a platform that is gone, all of which is taken again every few seconds."""
    async with stall(settings) as desk:
        name = (await desk.listen(desk.shop))["id"]
        hang, answers = asyncio.Event(), [WebhookAnswer(500, "no", 1)]

        async def hangs(url: str, secrets: Sequence[str], message: str, event: Mapping[str, Any]) -> WebhookAnswer:
            if answers:
                return answers.pop()
            await hang.wait()
            return WebhookAnswer(0, "It cannot be reached (TimeoutError).", 10_000)

        platforms = PlatformDeliveries(desk.front.store, {}, hangs)
        now = desk.clock.now()

        def waited(hours: int) -> Post:
            record = RecordId(f"payout-01-abcdefgh234567{hours:02}")
            at = Millis(now - hours * HOUR)
            return Post(f"{record}/1/1@{name}", "delivery", record, at, {"news": {"type": "x"}}, 0)

        with pytest.raises(Retryable, match="500"):
            await platforms.deliver(waited(0))
        async with asyncio.TaskGroup() as group:
            under_way = [group.create_task(platforms.deliver(waited(one))) for one in range(MOST_AFTER_FAILURE)]
            await wait_until(lambda: platforms._under_way[name] == MOST_AFTER_FAILURE, "they hang")  # noqa: SLF001
            for hours, again_s in ((0, 15), (3, 3 * 3600 / 7), (24, 3600)):
                with pytest.raises(PutOff) as found:
                    await platforms.deliver(waited(hours))
                assert found.value.after_s == again_s
            with pytest.raises(Retryable, match="for days"):
                await platforms.deliver(waited(49))
            for one in under_way:
                one.cancel()
