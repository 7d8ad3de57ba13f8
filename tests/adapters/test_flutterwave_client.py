"""The client: what a broken exchange proves, how long it may take, how much it may bring, and its token."""

import asyncio
import contextlib
import socket
from time import perf_counter

import aiohttp
import pytest

from adapters.flutterwave.credentials import ClientToken
from adapters.flutterwave.rail import FlutterwaveV3, FlutterwaveV4
from adapters.http import GatewayClient, HttpLimits, HttpRequest, SecretKey
from adapters.sandbox.faults import Fault, Kind
from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from machines.core.clock import FixedClock
from machines.core.errors import OutcomeUnknown, RailClosed, Retryable
from tests.adapters.conftest import IMPATIENT, LIMITS, payment

LOOK = HttpRequest("GET", "/balances/NGN")
SEND = HttpRequest("POST", "/transfers", body=b"{}")


def test_the_client_gives_up_before_the_gateway_does() -> None:
    assert HttpLimits().send_s < 28
    assert HttpLimits().read_s < 28


async def test_what_could_not_even_be_connected_is_surely_not_done(
    session: aiohttp.ClientSession, clock: FixedClock
) -> None:
    with contextlib.closing(socket.socket()) as taken:  # bound and not listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v3"
        rail = FlutterwaveV3(GatewayClient(session, "Flutterwave", url, SecretKey("key"), clock, LIMITS))
        with pytest.raises(Retryable) as raised:
            await rail.submit(payment())
        assert type(raised.value) is Retryable
        with pytest.raises(Retryable):
            await rail.status(payment())


async def test_a_name_that_does_not_resolve_is_surely_not_done(
    session: aiohttp.ClientSession, clock: FixedClock
) -> None:
    client = GatewayClient(session, "Flutterwave", "http://gateway.invalid/v3", SecretKey("key"), clock, LIMITS)
    with pytest.raises(Retryable):
        await client.send(SEND)


async def test_a_slow_answer_is_given_up_in_time_and_unknown(
    session: aiohttp.ClientSession, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    client = GatewayClient(session, "Flutterwave", gateway.v3_url, SecretKey(gateway.keys.secret_key), clock, IMPATIENT)
    gateway.faults.add(Fault(Kind.SLOW, created=True, delay_s=1000))
    started = perf_counter()
    with pytest.raises(OutcomeUnknown):
        await client.send(SEND)
    assert perf_counter() - started < 5


async def test_an_answer_without_end_is_cut_off(client: GatewayClient, gateway: FlutterwaveSimulator) -> None:
    gateway.faults.add(Fault(Kind.HUGE))
    with pytest.raises(OutcomeUnknown, match="bytes"):
        await client.send(SEND)
    gateway.faults.add(Fault(Kind.HUGE, where="GET *", times=2))
    with pytest.raises(Retryable, match="bytes"):
        await client.read(LOOK)


async def test_a_look_is_tried_again_and_gives_its_last_answer(
    client: GatewayClient, gateway: FlutterwaveSimulator
) -> None:
    gateway.faults.add(Fault(Kind.RESET, where="GET *"))
    assert (await client.read(LOOK)).status == 200
    gateway.faults.add(Fault(Kind.HTML, where="GET *", times=2))
    assert (await client.read(LOOK)).status == 502
    assert gateway.server.calls.count("GET /v3/balances/NGN") == 4


async def test_a_look_whose_question_was_refused_is_not_repeated(
    client: GatewayClient, gateway: FlutterwaveSimulator
) -> None:
    gateway.faults.add(Fault(Kind.RATE_LIMITED, where="GET *", delay_s=7))
    reply = await client.read(LOOK)
    assert (reply.status, reply.retry_after_s) == (429, 7)
    assert len(gateway.server.calls) == 1


async def test_a_send_that_is_cancelled_is_cancelled(client: GatewayClient, gateway: FlutterwaveSimulator) -> None:
    gateway.faults.add(Fault(Kind.SLOW, created=True, delay_s=1000))
    task = asyncio.create_task(client.send(SEND))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- the token of v4 -------------------------------------------------------------------------------------------------


async def test_a_token_is_kept_and_renewed_a_minute_early(
    token: ClientToken, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    first = await token.bearer()
    clock.advance(600 - 61)
    assert await token.bearer() == first
    clock.advance(2)
    assert await token.bearer() != first
    assert len(gateway.v4.tokens) == 2


async def test_a_token_is_fetched_once_by_many(token: ClientToken, gateway: FlutterwaveSimulator) -> None:
    assert len(set(await asyncio.gather(*(token.bearer() for _ in range(10))))) == 1
    assert len(gateway.v4.tokens) == 1


async def test_a_token_that_is_refused_early_is_replaced_and_the_call_made_once_more(
    v4: FlutterwaveV4, token: ClientToken, gateway: FlutterwaveSimulator
) -> None:
    await token.bearer()
    gateway.v4.tokens.clear()
    assert await v4.submit(payment())
    assert len(gateway.transfers.all) == 1


async def test_a_revoked_client_closes_the_rail(v4: FlutterwaveV4, gateway: FlutterwaveSimulator) -> None:
    gateway.transfers.switches.key_revoked = True
    with pytest.raises(RailClosed):
        await v4.submit(payment())


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.HTML, Kind.UNAVAILABLE, Kind.TRUNCATED, Kind.SLOW])
async def test_without_a_token_nothing_was_sent_and_nothing_is_unknown(
    session: aiohttp.ClientSession, gateway: FlutterwaveSimulator, clock: FixedClock, kind: Kind
) -> None:
    keys = gateway.keys
    limits = IMPATIENT if kind is Kind.SLOW else LIMITS
    token = ClientToken(session, gateway.token_url, keys.client_id, keys.client_secret, clock, limits)
    rail = FlutterwaveV4(GatewayClient(session, "Flutterwave", gateway.v4_url, token, clock, limits))
    gateway.faults.add(Fault(kind, where="POST /realms/*", delay_s=1000 if kind is Kind.SLOW else 0))
    with pytest.raises(Retryable):
        await rail.submit(payment())
    assert gateway.transfers.all == []
