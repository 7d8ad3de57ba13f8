"""All that a gateway did, page by page: the last thing to ask of a transfer that no look-up shows."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal

import pytest

from adapters.sandbox.gateway import Gateway
from adapters.sandbox.magic import PAYS
from adapters.sandbox.transfers import Order
from machines.core.clock import DAY, FixedClock, Millis
from machines.core.errors import RailClosed
from machines.core.money import Assets
from machines.core.ports import Lists, PaymentKey, Rail, Settled
from payflow.app.gateways import open_doors
from payflow.config import load
from tests.adapters.conftest import payment
from tests.stories.banks import Choice, paystack, v3, v4

BANKS = [v3, v4, paystack]


@asynccontextmanager
async def opened(choice: Choice, clock: FixedClock) -> AsyncIterator[tuple[Gateway, Lists, Rail]]:
    async with AsyncExitStack() as stack:
        bank = choice(clock)
        await stack.enter_async_context(bank.gateway)
        ((_, door),) = (await open_doors(load({}, **bank.settings()), clock, stack)).items()
        assert door.lists is not None
        yield bank.gateway, door.lists, door.rail


@pytest.mark.parametrize("choice", BANKS)
async def test_what_was_done_is_listed_however_many_others_there_are(choice: Choice) -> None:
    clock = FixedClock()
    async with opened(choice, clock) as (gateway, lists, rail):
        sent = payment()
        since = clock.now()
        await rail.submit(sent)
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
        await rail.submit(payment())
        assert await lists.done_since(clock.now(), lambda key: key == PaymentKey("another"), Assets()) == []


@pytest.mark.parametrize("choice", BANKS)
async def test_a_list_that_is_refused_is_none(choice: Choice) -> None:
    clock = FixedClock()
    async with opened(choice, clock) as (gateway, lists, rail):
        await rail.submit(payment())
        gateway.transfers.switches.key_revoked = True
        with pytest.raises(RailClosed):
            await lists.done_since(Millis(clock.now() - DAY), lambda _: True, Assets())
