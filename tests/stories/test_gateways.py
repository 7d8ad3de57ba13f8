"""Which gateway pays is a matter of settings: each that can be chosen pays, and hears its own webhooks."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal

import pytest

from adapters.sandbox.gateway import SimulatedGateway
from adapters.sandbox.magic import PAYS, Webhook
from machines.core.clock import FixedClock
from machines.core.errors import BadSettings
from machines.core.money import NGN, Money
from machines.core.ports import Destination, Payment, PaymentKey, Settled
from payflow.app.gateways import open_gateways
from payflow.config import Settings, load
from payflow.desk.gateways import GatewaySetup
from tests.desk import UNLIMITED
from tests.stories.banks import Choice, paid_to, paystack, v3, v4
from tests.stories.town import HOME, open_town

V4_ELSEWHERE = "https://f4bexperience.flutterwave.com"


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test opens, closed after it."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.mark.parametrize("choice", [v3, v4, paystack])
async def test_a_gateway_that_is_set_up_pays_and_its_webhook_is_known_from_a_forged_one(
    stack: AsyncExitStack, choice: Choice
) -> None:
    clock = FixedClock()
    chosen = choice(clock)
    bank = await stack.enter_async_context(chosen.gateway)
    settings = load({}, **chosen.settings())
    ((name, setup),) = (await open_gateways(settings, UNLIMITED, clock, stack)).items()
    assert name == settings.payout_rail
    bank.courier.url = "http://127.0.0.1:9/nobody-listens"
    await pays(setup, bank, clock)

    delivery, hooks = bank.courier.deliveries[0], setup.hooks
    assert hooks is not None
    assert hooks.genuine(delivery.headers, delivery.body)
    assert not hooks.genuine({}, delivery.body)
    assert not hooks.genuine(dict.fromkeys(delivery.headers, "forged"), delivery.body)
    notice = hooks.read(delivery.body)
    assert notice is not None
    assert notice.references[0] == "payout-03-abcdefgh23456777-1"


async def pays(setup: GatewaySetup, bank: SimulatedGateway, clock: FixedClock) -> None:
    """Ask whose the account is, pay it, and see that the money came."""
    to, amount = Destination("bank", (("bank_code", "044"), ("account_number", "0123456789"))), Money(1_250_50, NGN)
    await setup.gateway.resolve(to, "NGN")
    assert (await setup.gateway.fee(amount, to)).asset == NGN
    wanted = Payment(PaymentKey("payout-03-abcdefgh23456777-1"), to, amount)
    handle = await setup.rail.submit(await setup.rail.prepare(wanted))
    clock.advance(10)
    await bank.catch_up()
    paid = Payment(PaymentKey("payout-03-abcdefgh23456777-1"), to, amount, handle=handle or "")
    assert isinstance(await setup.rail.status(paid), Settled)
    assert bank.book.total("NGN") == Decimal("1250.50")


CLIENT = {"flutterwave_version": "v4", "flutterwave_client_id": "c", "flutterwave_client_secret": "s"}


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"flutterwave_client_id": "c", "flutterwave_client_secret": "s"}, "needs FLUTTERWAVE_SECRET_KEY"),
        ({"flutterwave_version": "v4", "flutterwave_secret_key": "k"}, "needs FLUTTERWAVE_CLIENT_ID and"),
        ({"flutterwave_version": "v4", "flutterwave_client_id": "c"}, "needs FLUTTERWAVE_CLIENT_ID and"),
        (CLIENT, "FLUTTERWAVE_URL is the address of v3"),
    ],
)
async def test_credentials_of_the_other_version_are_refused_before_anybody_waits_for_his_money(
    stack: AsyncExitStack, given: dict[str, str], wrong: str
) -> None:
    with pytest.raises(BadSettings, match=re.escape(wrong)):
        await open_gateways(load({}, **given), UNLIMITED, FixedClock(), stack)


async def test_v4_is_set_up_with_its_own_host_and_without_a_hash_it_has_no_door_for_webhooks(
    stack: AsyncExitStack,
) -> None:
    setups = await open_gateways(load({}, **CLIENT, flutterwave_url=V4_ELSEWHERE), UNLIMITED, FixedClock(), stack)
    assert [(name, setup.hooks) for name, setup in setups.items()] == [("flutterwave", None)]


@pytest.mark.parametrize("news", [Webhook.TWICE, Webhook.OVERTAKEN, Webhook.FORGED, Webhook.LYING, Webhook.NEVER])
@pytest.mark.parametrize("choice", [v3, v4, paystack])
async def test_whichever_gateway_pays_and_however_its_news_travels_a_payout_is_paid_once(
    settings: Settings, choice: Choice, news: Webhook
) -> None:
    async with open_town(settings, choice, batch_schedule="instant") as town, town.worker():
        town.bank.transfers.otherwise = replace(PAYS, webhook=news)
        await town.ann_earns("5000")
        payouts = [await town.ann_asks("1000") for _ in range(2)]
        for payout in payouts:
            await town.approve(payout)
            await town.until_sent(payout)
        await town.time_passes(seconds=10)
        await town.time_passes(minutes=10)
        for payout in payouts:
            await town.until(payout, "paid")
        assert await town.ann_has() == ("3,000", "0", "2,000")
        assert paid_to(town.bank.book, HOME) == 2000
        assert [len(town.transfers_of(payout)) for payout in payouts] == [1, 1]
