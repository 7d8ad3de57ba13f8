"""The simulated Flutterwave against the list of behaviours in `facts/flutterwave.md`, section g, point by point."""

import asyncio
import base64
import hmac
import json
import socket
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from adapters.sandbox.faults import Fault, Kind
from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.magic import PAYS, STAYS
from machines.core.clock import DAY, FixedClock

TEST_ACCOUNT = "0690000031"
UNAVAILABLE = {"status": "error", "message": "An error occurred. Please contact support", "data": None}


class Caller:
    """Speaks to the simulator as anybody would."""

    def __init__(self, gateway: FlutterwaveSimulator, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.session = session
        self.headers: dict[str, str] = {"Authorization": f"Bearer {gateway.keys.secret_key}"}

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        url = self.gateway.url + path
        async with self.session.request(method, url, json=body, headers=self.headers | headers) as response:
            text = await response.text()
            return response.status, json.loads(text, parse_float=Decimal)

    async def pay(self, reference: str, account: str = TEST_ACCOUNT, amount: object = 1000) -> tuple[int, Any]:
        return await self.ask("POST", "/v3/transfers", transfer(reference, account, amount))

    async def look(self, reference: str) -> Any:  # noqa: ANN401  (a transfer as JSON, or None)
        _, answer = await self.ask("GET", f"/v3/transfers?reference={reference}")
        return answer["data"][0] if answer["data"] else None


def transfer(reference: str, account: str = TEST_ACCOUNT, amount: object = 1000) -> dict[str, object]:
    return {
        "account_bank": "044",
        "account_number": account,
        "amount": amount,
        "currency": "NGN",
        "reference": reference,
    }


class Inbox:
    """Takes webhooks, answering as it is told."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.url = ""

    @property
    def news(self) -> list[Any]:
        return [json.loads(body, parse_float=Decimal) for _, body in self.received]

    async def take(self, request: web.BaseRequest) -> web.Response:
        self.received.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, headers={"Location": "/"})


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    box = Inbox()
    runner = web.ServerRunner(web.Server(box.take))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    box.url = f"http://{host}:{port}/"
    yield box
    await runner.cleanup()


@pytest.fixture
async def gateway(clock: FixedClock) -> AsyncIterator[FlutterwaveSimulator]:
    """True to the vendor's test mode: without magic a transfer stays pending."""
    async with FlutterwaveSimulator(clock) as started:
        yield started


@pytest.fixture
def caller(gateway: FlutterwaveSimulator, session: aiohttp.ClientSession) -> Caller:
    return Caller(gateway, session)


async def pass_time(gateway: FlutterwaveSimulator, clock: FixedClock, seconds: float) -> None:
    clock.advance(seconds)
    await gateway.catch_up()


async def arrival(gateway: FlutterwaveSimulator) -> None:
    """Wait until a request has come in."""
    while not gateway.server.calls:  # noqa: ASYNC110  (the simulator keeps a list)
        await asyncio.sleep(0.005)


# --- 1. the order of checks ------------------------------------------------------------------------------------------


async def test_the_key_is_checked_first_then_the_address_then_the_body_then_the_reference(caller: Caller) -> None:
    switches = caller.gateway.transfers.switches
    switches.address_listed = False
    caller.headers = {}
    assert await caller.pay("") == (401, {"status": "error", "message": "Authorization required", "data": None})
    caller.headers = {"Authorization": "Bearer wrong"}
    assert (await caller.pay(""))[1]["message"] == "Invalid authorization key"
    caller.headers = {"Authorization": f"Bearer {caller.gateway.keys.secret_key}"}
    status, answer = await caller.ask("POST", "/v3/transfers", {})
    assert (status, answer["message"]) == (400, "Please enable IP Whitelisting to access this service")
    switches.address_listed, switches.transfers_enabled = True, False
    assert (await caller.ask("POST", "/v3/transfers", {}))[0] == 400
    switches.transfers_enabled = True
    for name in ("account_bank", "account_number", "amount", "currency"):
        body = {key: value for key, value in transfer("a").items() if key != name}
        status, answer = await caller.ask("POST", "/v3/transfers", body)
        assert (status, answer["message"], answer["data"]) == (400, f"{name} is required", None)
    status, answer = await caller.pay("a")
    assert (status, answer["message"], answer["data"]["status"]) == (200, "Transfer Queued Successfully", "NEW")
    status, answer = await caller.pay("a", amount=7)
    assert (status, answer["message"], answer["data"]) == (400, "Payout with this ref already exists", None)


@pytest.mark.parametrize("amount", [0, -1, "1000", True, None, []])
async def test_an_amount_is_a_positive_number(caller: Caller, amount: object) -> None:
    assert (await caller.pay("a", amount=amount))[0] == 400


async def test_a_transfer_looks_as_documented(caller: Caller) -> None:
    _, answer = await caller.pay("a", amount=1322.71)
    data = answer["data"]
    assert set(data) == {
        *("id", "account_number", "bank_code", "full_name", "created_at", "currency", "debit_currency", "amount"),
        *("fee", "status", "reference", "meta", "narration", "complete_message", "requires_approval", "is_approved"),
        "bank_name",
    }
    assert (data["amount"], data["fee"], data["complete_message"]) == (Decimal("1322.71"), Decimal("10.75"), "")
    assert (await caller.look("a"))["approver"] == "N/A"


async def test_a_reference_is_made_up_where_none_was_given(caller: Caller) -> None:
    _, answer = await caller.ask("POST", "/v3/transfers", transfer(""))
    assert answer["data"]["reference"]


# --- 2. life on a clock ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marker", "minutes", "end"),
    [
        ("_PMCK", 10, "SUCCESSFUL"),
        ("_PMCK_ST_F", 10, "FAILED"),
        ("_PMCKDU_3", 3, "SUCCESSFUL"),
        ("_PMCK_ST_FDU_2", 2, "FAILED"),
    ],
)
async def test_markers_decide_how_and_when_it_ends(
    caller: Caller, clock: FixedClock, marker: str, minutes: int, end: str
) -> None:
    await caller.pay(f"x{marker}")
    assert (await caller.look(f"x{marker}"))["status"] == "NEW"
    clock.advance(2)
    assert (await caller.look(f"x{marker}"))["status"] == "PENDING"
    clock.advance(minutes * 60 - 3)
    assert (await caller.look(f"x{marker}"))["status"] == "PENDING"
    clock.advance(2)
    assert (await caller.look(f"x{marker}"))["status"] == end


@pytest.mark.parametrize("reference", ["plain", "x_PMCKDU_ST_FDU_1", "x_success_mock", "x_PMCK_"])
async def test_without_a_marker_it_stays_pending_for_ever(caller: Caller, clock: FixedClock, reference: str) -> None:
    await caller.pay(reference)
    clock.advance(400 * DAY / 1000)
    assert (await caller.look(reference))["status"] == "PENDING"


async def test_the_blacklisted_account_is_refused_at_once(caller: Caller) -> None:
    status, answer = await caller.pay("a", "0690000036")
    assert (status, answer["message"]) == (400, "Payout was made to a blacklisted account number")
    assert await caller.look("a") is None


# --- 3. balances -----------------------------------------------------------------------------------------------------


async def test_amount_and_fee_are_debited_and_come_back_when_it_fails(caller: Caller, clock: FixedClock) -> None:
    wallets = caller.gateway.transfers.wallets
    wallets["NGN"] = Decimal(5000)
    await caller.pay("a_PMCK_ST_F", amount=1000)
    _, answer = await caller.ask("GET", "/v3/balances/NGN")
    assert answer["message"] == "Wallet balance fetched"
    assert answer["data"]["available_balance"] == Decimal("3989.25")
    clock.advance(601)
    assert (await caller.look("a_PMCK_ST_F"))["status"] == "FAILED"
    assert wallets["NGN"] == 5000
    assert list(caller.gateway.book) == []


async def test_a_short_wallet_is_told_later_or_at_once(caller: Caller, clock: FixedClock) -> None:
    wallets, switches = caller.gateway.transfers.wallets, caller.gateway.transfers.switches
    wallets["NGN"] = Decimal(1000)  # the amount, and nothing for the fee
    status, answer = await caller.pay("a_PMCKDU_1")
    assert (status, answer["data"]["status"]) == (200, "NEW")
    clock.advance(61)
    found = await caller.look("a_PMCKDU_1")
    assert (found["status"], "Insufficient funds" in found["complete_message"]) == ("FAILED", True)
    switches.short_at_once = True
    assert (await caller.pay("b_PMCK"))[0] == 400
    assert wallets["NGN"] == 1000


async def test_an_account_that_cannot_be_resolved_is_told_later_or_at_once(caller: Caller, clock: FixedClock) -> None:
    await caller.pay("later", "0100000002")
    clock.advance(10)
    found = await caller.look("later")
    assert (found["status"], found["complete_message"]) == ("FAILED", "Account resolve failed")
    assert (await caller.pay("at-once", "0100000021"))[1]["message"] == "Account resolve failed"


# --- 4. ambiguity ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("created", [True, False], ids=["created", "not-created"])
async def test_503_after_28_seconds_with_and_without_creation(
    caller: Caller, clock: FixedClock, *, created: bool
) -> None:
    caller.gateway.faults.add(Fault(Kind.UNAVAILABLE, created=created, delay_s=28))
    call = asyncio.create_task(caller.pay("a"))
    await arrival(caller.gateway)
    await asyncio.sleep(0.05)
    assert not call.done()
    clock.advance(28)
    assert await call == (503, UNAVAILABLE)
    assert (await caller.look("a") is not None) is created


@pytest.mark.parametrize("created", [True, False], ids=["created", "not-created"])
async def test_a_connection_reset_with_and_without_creation(caller: Caller, *, created: bool) -> None:
    caller.gateway.faults.add(Fault(Kind.RESET, created=created))
    with pytest.raises(aiohttp.ClientError):
        await caller.pay("a")
    assert (await caller.look("a") is not None) is created


async def test_a_page_instead_of_json(caller: Caller) -> None:
    caller.gateway.faults.add(Fault(Kind.HTML, created=True))
    with pytest.raises(json.JSONDecodeError):
        await caller.pay("a")
    assert await caller.look("a")


async def test_an_answer_later_than_anybody_waits(caller: Caller, clock: FixedClock) -> None:
    caller.gateway.faults.add(Fault(Kind.SLOW, created=True, delay_s=120))
    call = asyncio.create_task(caller.pay("a"))
    await arrival(caller.gateway)
    clock.advance(60)
    assert await caller.look("a")
    assert not call.done()
    clock.advance(60)
    assert (await call)[0] == 200


async def test_half_an_answer_and_a_connection_cut_in_an_answer(caller: Caller) -> None:
    caller.gateway.faults.add(Fault(Kind.TRUNCATED, created=True), Fault(Kind.CUT, created=True))
    with pytest.raises(json.JSONDecodeError):
        await caller.pay("a")
    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.pay("b")


async def test_faults_meet_those_they_are_aimed_at_and_as_often_as_written(caller: Caller) -> None:
    caller.gateway.faults.add(Fault(Kind.UNAVAILABLE, reference="b*", times=2))
    assert [(await caller.pay(reference))[0] for reference in ("a", "b1", "b1", "b1")] == [200, 503, 503, 200]


# --- 5. the look-up --------------------------------------------------------------------------------------------------


async def test_a_miss_is_an_empty_list_and_zeros(caller: Caller) -> None:
    status, answer = await caller.ask("GET", "/v3/transfers?reference=nobody")
    assert status == 200
    assert answer == {
        "status": "success",
        "message": "Transfers fetched",
        "meta": {"page_info": {"total": 0, "current_page": 0, "total_pages": 0}},
        "data": [],
    }


async def test_a_look_up_may_lag(caller: Caller, clock: FixedClock) -> None:
    await caller.pay("a", "0100000042")
    assert await caller.look("a") is None
    clock.advance(31)
    assert await caller.look("a")


async def test_lists_have_ten_a_page_newest_first_and_filters(caller: Caller, clock: FixedClock) -> None:
    for number in range(12):
        await caller.pay(f"r{number}_PMCK" if number % 2 else f"r{number}")
    _, first = await caller.ask("GET", "/v3/transfers")
    _, second = await caller.ask("GET", "/v3/transfers?page=2")
    assert [len(page["data"]) for page in (first, second)] == [10, 2]
    assert first["data"][0]["reference"] == "r11_PMCK"
    assert first["meta"]["page_info"] == {"total": 12, "current_page": 1, "total_pages": 2}
    clock.advance(601)
    _, paid = await caller.ask("GET", "/v3/transfers?status=successful")
    assert paid["meta"]["page_info"]["total"] == 6
    _, none = await caller.ask("GET", "/v3/transfers?to=2000-01-01")
    assert none["data"] == []


# --- 6. webhooks -----------------------------------------------------------------------------------------------------


async def test_the_webhook_has_v3s_very_keys_and_the_hash_verbatim(
    caller: Caller, clock: FixedClock, inbox: Inbox
) -> None:
    caller.gateway.courier.url = inbox.url
    await caller.pay("a_PMCKDU_1")
    await pass_time(caller.gateway, clock, 30)
    assert inbox.received == []  # never for NEW or PENDING
    await pass_time(caller.gateway, clock, 31)
    ((headers, _),) = inbox.received
    assert headers["verif-hash"] == caller.gateway.keys.secret_hash
    (news,) = inbox.news
    assert (news["event"], news["event.type"]) == ("transfer.completed", "Transfer")
    assert "full_name" not in news["data"]
    assert (news["data"]["fullname"], news["data"]["status"]) == ("Jide Bello", "SUCCESSFUL")
    assert news["data"]["reference"] == "a_PMCKDU_1"


@pytest.mark.parametrize("status", [201, 204, 302, 404, 500])
async def test_only_200_acknowledges_and_there_are_three_more_tries_half_an_hour_apart(
    caller: Caller, clock: FixedClock, inbox: Inbox, status: int
) -> None:
    caller.gateway.courier.url, inbox.status = inbox.url, status
    await caller.pay("a_PMCKDU_1")
    await pass_time(caller.gateway, clock, 61)
    counts = [len(inbox.received)]
    for _ in range(5):
        await pass_time(caller.gateway, clock, 1790)
        counts.append(len(inbox.received))
        await pass_time(caller.gateway, clock, 10)
    assert counts == [1, 1, 2, 3, 4, 4]


async def test_retries_and_webhooks_can_be_switched_off(caller: Caller, clock: FixedClock, inbox: Inbox) -> None:
    courier = caller.gateway.courier
    courier.url, courier.retries, inbox.status = inbox.url, False, 500
    await caller.pay("a_PMCKDU_1")
    await pass_time(caller.gateway, clock, 61)
    await pass_time(caller.gateway, clock, 7200)
    assert len(inbox.received) == 1
    courier.on = False
    await caller.pay("b_PMCKDU_1")
    await pass_time(caller.gateway, clock, 61)
    assert len(inbox.received) == 1


@pytest.mark.parametrize(
    ("account", "received", "later"),
    [("0100000051", 0, 0), ("0100000052", 2, 2), ("0100000053", 0, 1)],
    ids=["never", "twice", "late"],
)
async def test_news_may_get_lost_come_twice_or_come_late(
    caller: Caller, clock: FixedClock, inbox: Inbox, account: str, received: int, later: int
) -> None:
    caller.gateway.courier.url = inbox.url
    await caller.pay("a", account)
    await pass_time(caller.gateway, clock, 10)
    assert len(inbox.received) == received
    await pass_time(caller.gateway, clock, 1800)
    assert len(inbox.received) == later


async def test_news_may_come_before_the_answer(caller: Caller, inbox: Inbox) -> None:
    caller.gateway.courier.url = inbox.url
    caller.gateway.faults.add(Fault(Kind.SLOW, created=True, delay_s=1000))
    call = asyncio.create_task(caller.pay("a", "0100000054"))
    while not inbox.received:  # noqa: ASYNC110  (the inbox is a list)
        await asyncio.sleep(0.005)
    assert not call.done()
    assert inbox.news[0]["data"]["status"] == "SUCCESSFUL"
    call.cancel()


async def test_news_may_be_forged_or_lie(caller: Caller, clock: FixedClock, inbox: Inbox) -> None:
    caller.gateway.courier.url = inbox.url
    await caller.pay("forged", "0100000055")
    await caller.pay("lying", "0100000056")
    await pass_time(caller.gateway, clock, 10)
    by_reference = {json.loads(body)["data"]["reference"]: (headers, body) for headers, body in inbox.received}
    assert by_reference["forged"][0]["verif-hash"] != caller.gateway.keys.secret_hash
    lie, truth = json.loads(by_reference["lying"][1])["data"], await caller.look("lying")
    assert (lie["status"], truth["status"]) == ("FAILED", "SUCCESSFUL")
    assert lie["amount"] != truth["amount"]


async def test_news_may_be_overtaken(caller: Caller, clock: FixedClock, inbox: Inbox) -> None:
    caller.gateway.courier.url = inbox.url
    await caller.pay("first", "0100000057")
    await pass_time(caller.gateway, clock, 10)
    await caller.pay("second", "0100000001")
    await pass_time(caller.gateway, clock, 10)
    assert [news["data"]["reference"] for news in inbox.news] == ["second", "first"]


async def test_v4_signs_its_news_over_the_bytes_or_sends_the_secret_itself(
    clock: FixedClock, session: aiohttp.ClientSession, inbox: Inbox
) -> None:
    for mode in ("v4", "v4-verbatim"):
        async with FlutterwaveSimulator(clock, PAYS, webhooks=mode) as gateway:
            gateway.courier.url = inbox.url
            await Caller(gateway, session).pay("a", "0100000012")
            await pass_time(gateway, clock, 10)
            await pass_time(gateway, clock, 100)
            headers, body = inbox.received[0]
            expected = base64.b64encode(hmac.digest(gateway.keys.secret_hash.encode(), body, "sha256")).decode()
            signature = headers["flutterwave-signature"]
            assert signature == (expected if mode == "v4" else gateway.keys.secret_hash)
            paid, undone = inbox.news
            assert (paid["type"], undone["type"]) == ("transfer.disburse", "transfer.reversal")
            assert paid["data"]["amount"] == 1000
            assert undone["data"]["reversal"]["reconciliation_status"] == "REVERSED"
            assert paid["webhook_id"] != undone["webhook_id"]
            inbox.received.clear()


# --- 7. retries ------------------------------------------------------------------------------------------------------


async def test_a_retry_is_a_new_transfer_with_a_reference_made_from_ours(caller: Caller, clock: FixedClock) -> None:
    await caller.pay("a_PMCK_ST_FDU_1")
    number = (await caller.look("a_PMCK_ST_FDU_1"))["id"]
    assert (await caller.ask("POST", f"/v3/transfers/{number}/retries"))[0] == 400  # it has not failed
    clock.advance(61)
    status, answer = await caller.ask("POST", f"/v3/transfers/{number}/retries")
    assert (status, answer["message"]) == (200, "Transfer retry attempt queued.")
    assert answer["data"]["reference"] == "a_PMCK_ST_FDU_1_RETRY_1"
    assert answer["data"]["id"] != number
    assert answer["data"]["status"] == "NEW"
    _, answer = await caller.ask("GET", f"/v3/transfers/{number}/retries")
    assert answer["message"] == "Transfer retry attempts retrieved."
    assert [each["reference"] for each in answer["data"]] == ["a_PMCK_ST_FDU_1_RETRY_1"]
    clock.advance(61)
    assert (await caller.look("a_PMCK_ST_FDU_1_RETRY_1"))["status"] == "FAILED"  # the marker still counts
    _, answer = await caller.ask("POST", f"/v3/transfers/{number}/retries")
    assert answer["data"]["reference"] == "a_PMCK_ST_FDU_1_RETRY_2"


async def test_what_failed_for_want_of_funds_cannot_be_retried(caller: Caller, clock: FixedClock) -> None:
    caller.gateway.transfers.wallets["NGN"] = Decimal(0)
    await caller.pay("a_PMCKDU_1")
    clock.advance(61)
    number = (await caller.look("a_PMCKDU_1"))["id"]
    assert (await caller.ask("POST", f"/v3/transfers/{number}/retries"))[0] == 400


# --- 8. what an official SDK sends -----------------------------------------------------------------------------------


async def test_doubled_slashes_and_empty_parts_of_a_query_are_tolerated(caller: Caller) -> None:
    await caller.pay("a")
    key = caller.gateway.keys.secret_key
    host, port = caller.gateway.url.removeprefix("http://").split(":")
    for target in ("//v3/transfers?&reference=a", "//v3//transfers/1000001"):
        # By hand: a client would tidy the path up before it is sent.
        with socket.create_connection((host, int(port))) as wire:
            wire.settimeout(0)
            loop = asyncio.get_running_loop()
            head = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
            await loop.sock_sendall(wire, head.encode())
            answer = b""
            while part := await loop.sock_recv(wire, 65536):
                answer += part
        assert b"200 OK" in answer
        assert b'"reference":"a"' in answer


# --- 9. approval -----------------------------------------------------------------------------------------------------


async def test_approval_keeps_it_new_until_somebody_approves(caller: Caller, clock: FixedClock) -> None:
    await caller.pay("a", "0100000011")
    clock.advance(DAY / 1000)
    found = await caller.look("a")
    assert (found["status"], found["requires_approval"], found["is_approved"]) == ("NEW", 1, 0)
    inside = caller.gateway.transfers.by_reference("a")
    assert inside is not None
    caller.gateway.transfers.approve(inside)
    clock.advance(10)
    found = await caller.look("a")
    assert (found["status"], found["is_approved"]) == ("SUCCESSFUL", 1)


# --- 10. reversal ----------------------------------------------------------------------------------------------------


async def test_a_success_may_be_taken_back(caller: Caller, clock: FixedClock) -> None:
    await caller.pay("a", "0100000012")
    clock.advance(6)
    assert (await caller.look("a"))["status"] == "SUCCESSFUL"
    assert caller.gateway.book.paid("a") == 1000
    clock.advance(61)
    assert (await caller.look("a"))["status"] == "REVERSED"
    assert caller.gateway.book.paid("a") == 0
    assert caller.gateway.book.times_paid("a") == 1


# --- the other endpoints, and v4 -------------------------------------------------------------------------------------


async def test_enquiries_answer_in_the_documented_words(caller: Caller) -> None:
    for path, message in (
        ("/v3/transfers/fee?amount=1000&currency=NGN&type=account", "Transfer fee fetched"),
        ("/v3/balances/NGN", "Wallet balance fetched"),
    ):
        status, answer = await caller.ask("GET", path)
        assert (status, answer["status"], answer["message"]) == (200, "success", message)
    ask = {"account_number": TEST_ACCOUNT, "account_bank": "044"}
    assert (await caller.ask("POST", "/v3/accounts/resolve", ask))[1]["message"] == "Account details fetched"
    status, answer = await caller.ask("POST", "/v3/accounts/resolve", ask | {"account_number": "1"})
    assert (status, answer["message"]) == (
        400,
        "Sorry, that account number is invalid, please check and try again",
    )
    assert (await caller.ask("POST", "/v3/accounts/resolve", ask | {"account_bank": "999"}))[0] == 400
    assert (await caller.ask("GET", "/v3/transfers/7"))[0] == 404


async def test_v4_answers_a_key_as_it_did_the_first_time(caller: Caller, session: aiohttp.ClientSession) -> None:
    gateway = caller.gateway
    form = {"client_id": gateway.keys.client_id, "client_secret": gateway.keys.client_secret}
    async with session.post(gateway.token_url, data=form | {"grant_type": "client_credentials"}) as response:
        token = await response.json()
    assert token["expires_in"] == 600
    caller.headers = {"Authorization": f"Bearer {token['access_token']}", "X-Idempotency-Key": "k" * 12}
    for code, number, expected in (("044", TEST_ACCOUNT, 200), ("999", TEST_ACCOUNT, 400), ("044", "0100000021", 400)):
        ask = {"account": {"code": code, "number": number}, "currency": "NGN"}
        key = {"X-Idempotency-Key": f"whose-account-{code}-{number}"}
        assert (await caller.ask("POST", "/v4/banks/account-resolve", ask, **key))[0] == expected
    body: dict[str, Any] = {
        "action": "instant",
        "type": "bank",
        "reference": "payout-03-v4",
        "payment_instruction": {
            "source_currency": "NGN",
            "destination_currency": "NGN",
            "amount": {"value": 10, "applies_to": "destination_currency"},
            "recipient": {"bank": {"account_number": "0123456789", "code": "044"}},
        },
    }
    first = await caller.ask("POST", "/v4/direct-transfers", body)
    assert (first[0], first[1]["message"], first[1]["data"]["status"]) == (201, "Transfer created", "NEW")
    assert await caller.ask("POST", "/v4/direct-transfers", body) == first
    assert len(gateway.transfers.all) == 1
    caller.headers["X-Idempotency-Key"] = "another-key-0"
    status, answer = await caller.ask("POST", "/v4/direct-transfers", body)
    assert (status, answer["error"]["type"], answer["error"]["code"]) == (409, "REFERENCE_ALREADY_EXISTS", "201409")
    caller.headers["X-Idempotency-Key"] = "one-more-key-0"
    body["reference"] = "short"
    assert (await caller.ask("POST", "/v4/direct-transfers", body))[0] == 400
    body["reference"] = "payout-03-v5"
    scenario = {"X-Scenario-Key": "scenario:insufficient_balance"}
    assert (await caller.ask("POST", "/v4/direct-transfers", body, **scenario))[0] == 400
    status, answer = await caller.ask("GET", "/v4/transfers/trf_7")
    assert (status, answer["error"]["type"]) == (404, "TRANSFER_NOT_FOUND")
    caller.headers = {}
    status, answer = await caller.ask("GET", "/v4/transfers/trf_7")
    assert (status, answer["error"]["type"]) == (401, "UNAUTHORIZED")


async def test_test_accounts_without_a_marker_stay_where_they_are() -> None:
    async with FlutterwaveSimulator(FixedClock(), PAYS) as gateway:
        assert gateway.transfers.otherwise is PAYS
    assert FlutterwaveSimulator(FixedClock()).transfers.otherwise is STAYS
