"""All that a gateway did, page by page: the last thing to ask of a transfer that no look-up shows."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal

import pytest

from adapters.sandbox.flutterwave import v3 as wire_v3
from adapters.sandbox.flutterwave import v4 as wire_v4
from adapters.sandbox.gateway import SimulatedGateway
from adapters.sandbox.magic import PAYS, STAYS, Ends, Fate
from adapters.sandbox.paystack import simulator as wire_paystack
from adapters.sandbox.paystack.simulator import PaystackSimulator
from adapters.sandbox.transfers import Order, TransferState
from machines.core.clock import DAY, FixedClock, Millis
from machines.core.errors import RailClosed
from machines.core.money import Assets
from machines.core.ports import Lists, PaymentKey, Pending, Rail, Settled
from payflow.app.gateways import open_gateways
from payflow.config import load
from tests.adapters.conftest import payment
from tests.desk import UNLIMITED
from tests.stories.banks import Choice, paystack, v3, v4

BANKS = [v3, v4, paystack]
BOUNCES = Fate(Ends.FAILED, message="DISBURSE FAILED: A fatal error occured while proccesing your request.")


@asynccontextmanager
async def opened(choice: Choice, clock: FixedClock) -> AsyncIterator[tuple[SimulatedGateway, Lists, Rail]]:
    async with AsyncExitStack() as stack:
        bank = choice(clock)
        await stack.enter_async_context(bank.gateway)
        ((_, setup),) = (await open_gateways(load({}, **bank.settings()), UNLIMITED, clock, stack)).items()
        assert setup.lists is not None
        yield bank.gateway, setup.lists, setup.rail


@pytest.mark.parametrize("choice", BANKS)
async def test_what_was_done_is_listed_however_many_others_there_are(choice: Choice) -> None:
    clock = FixedClock()
    async with opened(choice, clock) as (gateway, lists, rail):
        sent = payment()
        since = clock.now()
        await rail.submit(await rail.prepare(sent))
        for number in range(130):
            gateway.transfers.place(
                Order(f"somebody-elses-{number}", "044", "0123456789", Decimal(1000), "NGN"), None, PAYS
            )
        clock.advance(10)
        await gateway.catch_up()
        (trace,) = await lists.done_since(since, lambda key: key == sent.key, Assets())
        assert (trace.key, trace.amount, isinstance(trace.status, Settled)) == (sent.key, sent.amount, True)
        assert dict(trace.to.fields)["account_number"] == "0123456789"


@pytest.mark.parametrize("choice", BANKS)
async def test_what_was_never_taken_is_in_no_list(choice: Choice) -> None:
    clock = FixedClock()
    async with opened(choice, clock) as (_, lists, rail):
        await rail.submit(await rail.prepare(payment()))
        assert await lists.done_since(clock.now(), lambda key: key == PaymentKey("another"), Assets()) == []


@pytest.mark.parametrize("choice", BANKS)
async def test_a_list_that_is_refused_is_none(choice: Choice) -> None:
    clock = FixedClock()
    async with opened(choice, clock) as (gateway, lists, rail):
        await rail.submit(await rail.prepare(payment()))
        gateway.transfers.switches.key_revoked = True
        with pytest.raises(RailClosed):
            await lists.done_since(Millis(clock.now() - DAY), lambda _: True, Assets())


def paid_twice(gateway: SimulatedGateway, clock: FixedClock, reference: str) -> None:
    """Have a payment made twice: by two clicks on Retry, or in a book that knows its reference twice."""
    order = Order(reference, "044", "0123456789", Decimal(20), "NGN")
    if isinstance(gateway, PaystackSimulator):
        for _ in range(2):
            gateway.transfers.place(order, None, PAYS)
        return
    transfer = gateway.transfers.place(order, None, BOUNCES)
    clock.advance(10)
    gateway.agenda.run()
    for _ in range(2):
        gateway.transfers.retry(transfer, chosen=PAYS)


@pytest.mark.parametrize("choice", BANKS)
async def test_one_payment_that_was_made_twice_hides_no_other(choice: Choice) -> None:
    clock = FixedClock()
    async with opened(choice, clock) as (gateway, lists, rail):
        sent = payment()
        since = clock.now()
        await rail.submit(await rail.prepare(sent))
        paid_twice(gateway, clock, "payout-made-twice-1")
        clock.advance(10)
        await gateway.catch_up()
        found = {trace.key: trace for trace in await lists.done_since(since, lambda _: True, Assets())}
        twice, other = found[PaymentKey("payout-made-twice-1")], found[sent.key]
        assert isinstance(other.status, Settled)
        assert (other.status.also, other.names) == ((), ())
        assert isinstance(twice.status, Settled)
        assert len(twice.status.also) == 1
        assert len(twice.names) == (1 if isinstance(gateway, PaystackSimulator) else 2)


@pytest.mark.parametrize("choice", [v3, v4])
async def test_the_retry_of_a_retry_belongs_to_the_payment(choice: Choice) -> None:
    """On v4 whatever it is called; v3 tells no parents in its list."""
    clock = FixedClock()
    async with opened(choice, clock) as (gateway, lists, _):
        sent = PaymentKey("payout-tried-thrice-1")
        order = Order(sent, "044", "0123456789", Decimal(20), "NGN")
        transfer, own = gateway.transfers.place(order, None, BOUNCES), "" if choice is v3 else "their-own-reference"
        for reference, fate in ((own, BOUNCES), ("", PAYS)):
            clock.advance(10)
            await gateway.catch_up()
            transfer = gateway.transfers.retry(transfer, reference, fate)
        clock.advance(10)
        await gateway.catch_up()
        (trace,) = await lists.done_since(clock.now(), lambda _: True, Assets())
        assert (trace.key, isinstance(trace.status, Settled), len(trace.names)) == (sent, True, 2)


@pytest.mark.parametrize("choice", BANKS)
async def test_one_payment_of_which_nobody_can_tell_hides_no_other(
    choice: Choice, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (wire_v3.STATUSES, wire_v4.STATUSES, wire_paystack.STATUSES):
        monkeypatch.setitem(words, TransferState.PENDING, "PROCESSED")
    clock = FixedClock()
    async with opened(choice, clock) as (gateway, lists, rail):
        sent, odd = payment(), PaymentKey("payout-in-an-odd-state-1")
        await rail.submit(await rail.prepare(sent))
        gateway.transfers.place(Order(odd, "044", "0123456789", Decimal(20), "NGN"), None, STAYS)
        clock.advance(10)
        await gateway.catch_up()
        found = {trace.key: trace.status for trace in await lists.done_since(clock.now(), lambda _: True, Assets())}
        assert isinstance(found[sent.key], Settled)
        assert isinstance(found[odd], Pending)
