"""A webhook is a reason to look, and never an outcome. Who cannot prove that he is the gateway is nobody."""

import asyncio
import json

import pytest

from machines.core.errors import StoreUnavailable
from machines.core.ids import RecordId
from machines.payout.data import reference_of
from payflow.config import Settings
from tests.waiting import wait_until
from tests.web.api.front import HOOK, SECRET, WAITS, Front, open_front


def news(reference: str, status: str = "SUCCESSFUL") -> dict[str, object]:
    return {"event": "transfer.completed", "data": {"id": 1, "reference": reference, "status": status, "amount": 1}}


def counted(front: Front, outcome: str) -> float:
    return front.count("payflow_webhooks_total", source="flutterwave", outcome=outcome)


async def with_the_rail(front: Front) -> tuple[str, str]:
    """Give a payout that the rail has and has not finished, and its reference."""
    made = await front.requested("400", account=WAITS)
    reference = reference_of(RecordId(made["id"]), 1, front.store.installation)
    await wait_until(lambda: reference in front.rail.known, "the rail has it")
    return made["id"], reference


async def test_a_webhook_has_the_payout_looked_at_at_once(open_for_business: Front) -> None:
    front = open_for_business
    payout_id, reference = await with_the_rail(front)
    front.rail.settled.add(reference)
    told = await front.deliver(news(reference))
    assert (told.status, told.body) == (200, {"received": True})
    await front.until(payout_id, "COMPLETED", patient=True)
    assert counted(front, "taken") == 1


async def test_a_webhook_that_says_what_the_gateway_does_not_say_changes_nothing(open_for_business: Front) -> None:
    front = open_for_business
    payout_id, reference = await with_the_rail(front)
    before = front.rail.looks[reference]
    assert (await front.deliver(news(reference, "SUCCESSFUL"))).status == 200
    assert (await front.deliver(news(reference, "FAILED"))).status == 200
    await wait_until(lambda: front.rail.looks[reference] > before, "the payout was looked at")
    assert (await front.record(payout_id)).state == "PROCESSING"
    assert (await front.money())["held"] == "400.00"


async def test_the_same_news_delivered_again_is_taken_in_once(open_for_business: Front) -> None:
    front = open_for_business
    _, reference = await with_the_rail(front)
    for _ in range(3):
        assert (await front.deliver(news(reference))).status == 200
    assert (counted(front, "taken"), counted(front, "again")) == (1, 2)
    keys = [key async for key in front.store.link.client.scan_iter(match="pf:inbox:*")]
    assert len(keys) == 1
    assert 0 < await front.store.link.ask("PTTL", keys[0]) <= 7 * 86_400_000


@pytest.mark.parametrize("place", [HOOK, "/api/payout_status"])
@pytest.mark.parametrize("secret", ["", "whisper", SECRET + "x"], ids=repr)
async def test_a_forged_webhook_is_refused_and_counted_and_moves_nothing(
    front: Front, logged: list[dict[str, object]], place: str, secret: str
) -> None:
    logged.clear()  # of what was said as the store was opened
    refused = await front.call("POST", place, news("payout-03-aaaaaaaaaaaaaaaa-1"), verif_hash=secret)
    assert (refused.status, refused.code) == (401, "forged")
    assert counted(front, "forged") == 1
    assert [line["action"] for line in logged if line["log_level"] == "warning"] == ["webhook_forged"]
    assert secret not in str(logged) or not secret


@pytest.mark.parametrize(
    "reference",
    ["payout-03-aaaaaaaaaaaaaaaa-1", "payout-99-aaaaaaaaaaaaaaaa-1", "somebody-elses", "", "-" * 5000, "\x00"],
    ids=["no such", "no such shard", "foreign", "empty", "long", "odd"],
)
async def test_a_webhook_for_a_transfer_that_is_not_ours_is_received_counted_and_noted(
    front: Front, logged: list[dict[str, object]], reference: str
) -> None:
    assert (await front.deliver(news(reference))).status == 200
    assert counted(front, "unknown") == 1
    (line,) = [line for line in logged if line["action"] == "webhook_unknown"]
    assert len(str(line)) < 1000


async def test_what_is_no_transfer_is_received_and_left_alone(front: Front) -> None:
    assert (await front.deliver({"event": "charge.completed", "data": {}})).status == 200
    assert counted(front, "other") == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"event":"transfer.completed"', b"[]", b"\xff\xfe", b'{"event":"transfer.completed"}', b"[" * 60_000],
    ids=["nothing", "brace", "cut", "list", "bytes", "no data", "deep"],
)
async def test_what_the_gateway_cannot_have_meant_is_refused(front: Front, body: bytes) -> None:
    refused = await front.deliver(body)
    assert (refused.status, refused.code) == (400, "bad_input")
    assert counted(front, "unread") == 1


async def test_a_huge_webhook_is_refused_before_it_is_read(front: Front) -> None:
    refused = await front.deliver(b'"' + b"x" * 70_000 + b'"')
    assert (refused.status, refused.code) == (413, "too_large")


async def test_a_webhook_for_a_payout_at_which_nobody_looks_any_more_has_it_looked_at_once_more(front: Front) -> None:
    await front.earn("1000")
    made = await front.requested("100")
    await front.ann("POST", f"/api/payouts/{made['id']}/cancel")
    assert (await front.deliver(news(f"{made['id']}-1"))).status == 200
    assert counted(front, "taken") == 1
    assert await front.store.records.poke(RecordId(made["id"])) == ["due"]


async def test_when_the_store_fails_the_gateway_is_asked_to_deliver_again_and_nothing_is_lost(
    open_for_business: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = open_for_business
    payout_id, reference = await with_the_rail(front)
    front.rail.settled.add(reference)

    async def fails(*ids: object) -> list[str]:
        raise StoreUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(type(front.store.records), "poke", fails)
        failed = await front.deliver(news(reference))
        assert (failed.status, failed.code) == (503, "store_unavailable")
    assert (await front.deliver(news(reference))).status == 200
    await front.until(payout_id, "COMPLETED", patient=True)


async def test_forgers_are_slowed_down_and_the_gateway_is_not(settings: Settings) -> None:
    async with open_front(settings, api_address_rate=2.0) as front:
        forged = [await front.deliver(news("x"), secret="wrong") for _ in range(4)]
        assert [answer.status for answer in forged][:2] == [401, 401]
        assert 429 in [answer.status for answer in forged]
        for number in range(10):
            assert (await front.deliver(news(f"x{number}"))).status == 200


async def test_a_hundred_webhooks_at_once_are_all_taken_in(open_for_business: Front) -> None:
    front = open_for_business
    _, reference = await with_the_rail(front)
    answers = await asyncio.gather(*(front.deliver(news(reference, f"S{number % 10}")) for number in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert json.loads(answers[0].raw) == {"received": True}
