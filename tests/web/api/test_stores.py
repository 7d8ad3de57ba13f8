"""The API on every store that Payflow may have, a cluster included; and what its lists do where times are the same."""

import asyncio
from urllib.parse import urlsplit

import pytest

from machines.core.clock import FixedClock
from machines.core.errors import Conflict
from machines.core.ids import Owner, RecordId
from machines.payout.data import reference_of
from payflow.config import Settings
from payflow.store.registers.profiles import Profile
from payflow.store.registers.tokens import Role, Tokens
from tests.servers import EVERY, Kind
from tests.waiting import wait_until
from tests.web.api.front import ANN, GOOD, Front, asking, open_front

HERE = {"method": "bank", "destination": {"bank_code": "044", "account_number": GOOD}, "notify": ["mailto:a@b.example"]}
THERE = HERE | {"destination": {"bank_code": "058", "account_number": GOOD}}


@pytest.mark.parametrize("kind", EVERY, indirect=True, ids=str)
async def test_a_payout_is_asked_for_paid_and_listed_on_every_store(settings: Settings, kind: Kind) -> None:
    async with open_front(settings) as front, front.working():
        await front.earn("1000")
        made = await front.ann("POST", "/api/payouts", asking("400"), Idempotency_Key="k")
        reference = reference_of(RecordId(made.body["id"]), 1, front.store.installation)
        await wait_until(lambda: reference in front.rail.known, "the rail has it")
        news = {"event": "transfer.completed", "data": {"reference": reference, "status": "SUCCESSFUL"}}
        for _ in range(2):
            assert (await front.deliver(news)).status == 200
        await front.until(made.body["id"], "COMPLETED")
        assert (await front.ann("POST", "/api/payouts", asking("400"), Idempotency_Key="k")).raw == made.raw
        assert [one["status"] for one in (await front.ann("GET", "/api/payouts")).body["payouts"]] == ["paid"]
        for profile in (HERE, THERE):
            assert (await front.ann("PUT", "/api/provider/profile", profile)).status == 200
        await wait_until(
            lambda: any(post.body.get("event") == "profile_changed" for post in front.told), "he is warned"
        )
        names = {one.name for one in await Tokens(front.store.link).all()}
        assert {f"provider-{ANN}", "platform-shop"} <= names
        await Tokens(front.store.link).revoke(f"provider-{ANN}", "test")
        assert (await front.ann("GET", "/api/payouts")).status == 401


async def test_pages_neither_repeat_nor_leave_out_payouts_of_the_same_millisecond(settings: Settings) -> None:
    async with open_front(settings, clock=FixedClock()) as front:
        await front.earn("10000")
        made = {(await front.requested("100"))["id"] for _ in range(9)}
        seen, cursor = list[str](), ""
        while True:
            page = (await front.ann("GET", f"/api/payouts?limit=2&cursor={cursor}")).body
            seen += [one["id"] for one in page["payouts"]]
            if page["next"] is None:
                break
            cursor = page["next"]
        assert (len(seen), set(seen)) == (9, made)


async def test_of_many_who_write_one_profile_at_once_exactly_one_does(front: Front) -> None:
    profiles, owner = front.store.profiles, Owner(ANN)
    before = await profiles.write(
        Profile(owner), Profile(owner, notify=("mailto:0@b.example",)), await front.store.records.now()
    )
    now = await front.store.records.now()
    afters = [Profile(owner, notify=(f"mailto:{n}@b.example",)) for n in range(1, 21)]
    found = await asyncio.gather(*(profiles.write(before, after, now) for after in afters), return_exceptions=True)
    (winner,) = [one for one in found if isinstance(one, Profile)]
    assert sum(isinstance(one, Conflict) for one in found) == 19
    assert await profiles.read(owner) == winner
    assert winner.version == 2


async def test_who_leaves_in_the_middle_of_a_request_is_no_fault_of_ours(
    front: Front, logged: list[dict[str, object]]
) -> None:
    token = await front.token(Role.PROVIDER, ANN)
    where = urlsplit(front.address)
    _, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"POST /api/payouts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b'{"amount": 1')
    await writer.drain()
    asked = {"place": "POST /api/payouts", "status": "400"}
    writer.close()
    await writer.wait_closed()
    await wait_until(lambda: front.count("payflow_requests_total", **asked) == 1, "the request is over")
    assert [line for line in logged if line["log_level"] == "error"] == []
