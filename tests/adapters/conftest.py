"""A simulated Flutterwave on a clock that the test moves, and what our side needs to talk to it."""

from collections.abc import AsyncIterator
from itertools import count

import aiohttp
import pytest

from adapters.flutterwave.credentials import ClientToken
from adapters.flutterwave.rail import FlutterwaveV3, FlutterwaveV4
from adapters.http import GatewayClient, HttpLimits, SecretKey
from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.magic import PAYS
from machines.core.clock import FixedClock
from machines.core.money import NGN, Money
from machines.core.ports import Destination, Payment, PaymentKey

LIMITS = HttpLimits(reads=2, read_pause_s=0.001)
IMPATIENT = HttpLimits(send_s=0.1, read_s=0.1, reads=2, read_pause_s=0.001)

_NUMBERS = count(1)


def payment(account: str = "0123456789", amount: str = "1000", key: str = "", **parts: str) -> Payment:
    """Make a payment to a bank account."""
    to = Destination("bank", (("bank_code", "044"), ("account_number", account), ("account_name", "Ada Bello")))
    name = PaymentKey(key or f"payout-03-adapters{next(_NUMBERS):08d}-1")
    return Payment(name, to, Money.parse(amount, NGN), **parts)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def gateway(clock: FixedClock) -> AsyncIterator[FlutterwaveSimulator]:
    async with FlutterwaveSimulator(clock, PAYS) as started:
        yield started


@pytest.fixture
def client(gateway: FlutterwaveSimulator, session: aiohttp.ClientSession, clock: FixedClock) -> GatewayClient:
    return GatewayClient(session, "Flutterwave", gateway.v3_url, SecretKey(gateway.keys.secret_key), clock, LIMITS)


@pytest.fixture
def token(gateway: FlutterwaveSimulator, session: aiohttp.ClientSession, clock: FixedClock) -> ClientToken:
    keys = gateway.keys
    return ClientToken(session, gateway.token_url, keys.client_id, keys.client_secret, clock, LIMITS)


@pytest.fixture
def client_v4(
    gateway: FlutterwaveSimulator, session: aiohttp.ClientSession, clock: FixedClock, token: ClientToken
) -> GatewayClient:
    return GatewayClient(session, "Flutterwave", gateway.v4_url, token, clock, LIMITS)


@pytest.fixture
def v3(client: GatewayClient) -> FlutterwaveV3:
    return FlutterwaveV3(client)


@pytest.fixture
def v4(client_v4: GatewayClient) -> FlutterwaveV4:
    return FlutterwaveV4(client_v4)
