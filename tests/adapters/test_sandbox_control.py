"""`/_sandbox`: everything that a test can do in the process, somebody outside can do over HTTP."""

from dataclasses import asdict
from typing import Any

import aiohttp
import pytest

from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.magic import ACCOUNTS
from adapters.sandbox.mail import Mail
from machines.core.clock import SystemClock


class Desk:
    """Steers a simulator over HTTP."""

    def __init__(self, gateway: FlutterwaveSimulator, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.session = session

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with self.session.request(method, f"{self.gateway.url}/_sandbox{path}", json=body) as response:
            return response.status, await response.json()

    async def pay(self, reference: str, account: str) -> int:
        body = {"account_bank": "044", "account_number": account, "amount": 5, "currency": "NGN"}
        headers = {"Authorization": f"Bearer {self.gateway.keys.secret_key}"}
        async with self.session.post(
            f"{self.gateway.v3_url}/transfers", json=body | {"reference": reference}, headers=headers
        ) as response:
            return response.status


@pytest.fixture
def desk(gateway: FlutterwaveSimulator, session: aiohttp.ClientSession) -> Desk:
    return Desk(gateway, session)


async def test_the_overview_shows_all_magic_and_all_switches(desk: Desk) -> None:
    _, shown = await desk.ask("GET", "")
    assert set(shown["accounts"]) == set(ACCOUNTS)
    assert shown["switches"]["key_revoked"] is False
    assert "NGN" in shown["wallets"]


async def test_the_mails_of_the_sandbox_are_read_beside_the_gateway(desk: Desk) -> None:
    assert await desk.ask("GET", "/mails") == (200, [])
    mails = [Mail("payflow@sandbox.example", (to,), "Hello", "One line\nand another") for to in ("ann@x.y", "bob@x.y")]
    desk.gateway.control.mails = mails
    _, shown = await desk.ask("GET", "/mails")
    assert [mail["to"] for mail in shown] == [["ann@x.y"], ["bob@x.y"]]
    _, anns = await desk.ask("GET", "/mails?to=ann@x.y")
    assert anns == [asdict(mails[0]) | {"to": ["ann@x.y"]}]
    assert await desk.ask("GET", "/mails?to=nobody@x.y") == (200, [])


async def test_a_fault_is_scripted_and_met(desk: Desk) -> None:
    assert (await desk.ask("POST", "/faults", {"kind": "html", "created": True}))[0] == 200
    assert await desk.pay("a", "0123456789") == 502
    assert (await desk.ask("GET", "/faults"))[1] == []
    await desk.ask("POST", "/faults", {"kind": "reset"})
    await desk.ask("DELETE", "/faults")
    assert await desk.pay("b", "0123456789") == 200
    for wrong in ({"kind": "nonsense"}, {}, {"kind": "reset", "times": "many"}):
        assert (await desk.ask("POST", "/faults", wrong))[0] == 400


async def test_a_transfer_is_approved_paid_and_reversed_and_the_book_says_so(desk: Desk) -> None:
    await desk.pay("a", "0100000011")
    assert (await desk.ask("POST", "/transfers/a/reverse"))[0] == 409
    assert (await desk.ask("POST", "/transfers/a/approve"))[0] == 200
    assert (await desk.ask("POST", "/clock", {"advance_s": 10}))[0] == 200
    _, (entry,) = await desk.ask("GET", "/book")
    assert (entry["reference"], entry["amount"]) == ("a", 5)
    _, shown = await desk.ask("POST", "/transfers/a/reverse")
    assert shown["state"] == "reversed"
    assert len((await desk.ask("GET", "/book"))[1]) == 2


async def test_a_transfer_that_was_ended_by_hand_does_not_end_again(desk: Desk) -> None:
    await desk.pay("a", "0123456789")
    assert (await desk.ask("POST", "/transfers/a/pay"))[1]["state"] == "paid"
    await desk.ask("POST", "/clock", {"advance_s": 60})
    assert len((await desk.ask("GET", "/book"))[1]) == 1


async def test_a_transfer_is_failed_retried_and_declined(desk: Desk) -> None:
    await desk.pay("a", "0100000010")
    assert (await desk.ask("POST", "/transfers/a/fail"))[1]["state"] == "failed"
    assert (await desk.ask("POST", "/transfers/a/retry"))[1]["retries"] == ["a_RETRY_1"]
    assert (await desk.ask("POST", "/transfers/a_RETRY_1/pay"))[1]["state"] == "paid"
    await desk.pay("b", "0100000011")
    assert (await desk.ask("POST", "/transfers/b/decline"))[1]["state"] == "failed"
    assert (await desk.ask("POST", "/transfers/nobody/pay"))[0] == 404
    assert (await desk.ask("POST", "/transfers/a/sing"))[0] == 404
    assert {each["reference"] for each in (await desk.ask("GET", "/transfers"))[1]} == {"a", "a_RETRY_1", "b"}


async def test_switches_wallets_and_webhooks_are_set(desk: Desk) -> None:
    assert (await desk.ask("POST", "/switches", {"key_revoked": True}))[1]["key_revoked"] is True
    assert await desk.pay("a", "0123456789") == 401
    for wrong in ({"key_revoked": 1}, {"nonsense": True}):
        assert (await desk.ask("POST", "/switches", wrong))[0] == 400
    assert (await desk.ask("POST", "/wallets", {"NGN": "7.50"}))[1]["NGN"] == 7.5
    assert (await desk.ask("POST", "/wallets", {"NGN": "much"}))[0] == 400
    _, shown = await desk.ask("POST", "/webhooks", {"url": "http://127.0.0.1:1/", "retries": False})
    assert shown == {"url": "http://127.0.0.1:1/", "on": True, "retries": False}
    assert (await desk.ask("GET", "/webhooks"))[1] == []


async def test_the_real_clock_cannot_be_moved(session: aiohttp.ClientSession) -> None:
    async with FlutterwaveSimulator(SystemClock()) as gateway:
        assert (await Desk(gateway, session).ask("POST", "/clock", {"advance_s": 10}))[0] == 409
