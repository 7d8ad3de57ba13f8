"""All that the gateway did since a time: every page, one trace a payment, nobody else's transfers."""

from collections.abc import AsyncIterator
from decimal import Decimal

import aiohttp
import pytest

from adapters.flutterwave import wire_v3
from adapters.flutterwave.rail import FlutterwaveV3
from adapters.http import GatewayClient, HttpReply, SecretKey
from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.magic import PAYS, STAYS, Ends, Fate
from adapters.sandbox.transfers import Order
from machines.core.clock import DAY, FixedClock, Millis
from machines.core.errors import OutcomeUnknown, RailClosed
from machines.core.money import Assets
from machines.core.ports import Failed, PaymentKey, Pending, Settled, Trace

FAILS = Fate(Ends.FAILED, message="no")


class Desk:
    """A rail and the gateway behind it."""

    def __init__(self, clock: FixedClock, gateway: FlutterwaveSimulator, rail: FlutterwaveV3) -> None:
        self.clock = clock
        self.gateway = gateway
        self.rail = rail

    async def sent(self, reference: str, fate: Fate = PAYS, currency: str = "NGN") -> None:
        """The gateway has a transfer, and it came to its end."""
        self.gateway.transfers.place(Order(reference, "044", "0123456789", Decimal(20), currency), chosen=fate)
        self.clock.advance(10)
        await self.gateway.catch_up()

    async def since(self, ago_ms: int = 0) -> dict[str, Trace]:
        """List what was done since then."""
        at = Millis(self.clock.now() - ago_ms)
        found = await self.rail.done_since(at, lambda key: key.startswith("payout-"), Assets())
        assert len({trace.key for trace in found}) == len(found)
        return {str(trace.key): trace for trace in found}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A rail over the simulated gateway."""
    clock = FixedClock()
    async with FlutterwaveSimulator(clock) as gateway, aiohttp.ClientSession() as session:
        client = GatewayClient(session, "Flutterwave", gateway.v3_url, SecretKey(gateway.keys.secret_key), clock)
        yield Desk(clock, gateway, FlutterwaveV3(client))


async def test_every_page_is_read(desk: Desk) -> None:
    for number in range(23):
        await desk.sent(f"payout-{number}")
    assert set(await desk.since()) == {f"payout-{number}" for number in range(23)}


async def test_each_payment_is_told_with_what_came_of_it(desk: Desk) -> None:
    await desk.sent("payout-paid")
    await desk.sent("payout-failed", FAILS)
    await desk.sent("payout-open", STAYS)
    found = await desk.since()
    assert isinstance(found["payout-paid"].status, Settled)
    assert isinstance(found["payout-failed"].status, Failed)
    assert isinstance(found["payout-open"].status, Pending)
    trace = found["payout-paid"]
    assert str(trace.amount) == "NGN 20.00"
    assert dict(trace.to.fields) == {"bank_code": "044", "account_number": "0123456789"}
    assert trace.handle


async def test_a_retry_that_somebody_clicked_counts_for_the_payment(desk: Desk) -> None:
    await desk.sent("payout-retried", FAILS)
    failed = desk.gateway.transfers.by_reference("payout-retried")
    assert failed is not None
    desk.gateway.transfers.retry(failed, chosen=PAYS)
    desk.clock.advance(10)
    await desk.gateway.catch_up()
    found = await desk.since()
    assert isinstance(found["payout-retried"].status, Settled)
    assert found["payout-retried"].key == PaymentKey("payout-retried")


async def test_others_who_use_the_account_do_not_disturb(desk: Desk) -> None:
    await desk.sent("salaries-1", currency="USD")  # an asset that we keep no books in
    await desk.sent("payout-ours")
    assert set(await desk.since()) == {"payout-ours"}


async def test_what_is_older_is_left_out_but_never_for_a_time_zone(desk: Desk) -> None:
    await desk.sent("payout-old")
    desk.clock.advance(5 * DAY / 1000)
    await desk.sent("payout-new")
    assert set(await desk.since()) == {"payout-new"}
    assert set(await desk.since(6 * DAY)) == {"payout-old", "payout-new"}


async def test_a_closed_door_is_no_empty_list(desk: Desk) -> None:
    desk.gateway.transfers.switches.key_revoked = True
    with pytest.raises(RailClosed):
        await desk.since()


@pytest.mark.parametrize(
    "body",
    [b'{"status":"success","data":[]}', b'{"status":"error","data":null}', b"<html>", b'{"status":"success"}'],
)
def test_a_list_that_does_not_say_where_it_ends_proves_nothing(body: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        wire_v3.read_page(HttpReply(200, body))
