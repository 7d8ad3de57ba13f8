"""Tokens as they are: some say no, answer nothing or keep a fee; one that is short holds up no other asset."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

from adapters.addresses import checksummed
from adapters.ethereum.pay_many import PayManyContract
from machines.core.clock import FixedClock
from machines.core.facts import Override
from machines.core.ports import Cause, Failed, Payment, Pending, Settled
from machines.transaction import calldata
from machines.transaction import lifecycle as s
from machines.transaction.ports import LaneToken
from payflow.config import Settings
from tests.chain import LANE, Anvil
from tests.chains.batches import existing, made_contract
from tests.lanes import USD, Station, open_station, steal

SUPPLY = 10**12
UNITS = 5_000_000
NORMAL, SAYS_NO, KEEPS_A_FEE, ANSWERS_NOTHING, IN_96_BITS, LETS_NOBODY_PULL = 0, 1, 2, 4, 8, 16


@cache
def bytecode() -> str:
    """Compile the token."""
    from vyper import compile_code  # type: ignore[import-untyped]  # noqa: PLC0415  (slow)

    source = (Path(__file__).parent / "OddCoin.vy").read_text("utf-8")
    return str(compile_code(source, output_formats=["bytecode"])["bytecode"])


async def made_token(chain: Anvil, oddity: int) -> LaneToken:
    """Let the lane's address make a token and own all of it."""
    data = bytecode() + calldata.word(SUPPLY) + calldata.word(oddity)
    tx = await chain.rpc("eth_sendTransaction", {"from": LANE.address, "data": data})
    await chain.mine(4)
    return LaneToken(checksummed((await chain.rpc("eth_getTransactionReceipt", tx))["contractAddress"]), 6)


async def holds(chain: Anvil, token: LaneToken, payment: Payment) -> int:
    """Say how many units a recipient has."""
    call = {"to": token.address, "data": calldata.balance_of(checksummed(payment.to["address"]))}
    return int(await chain.rpc("eth_call", call, "latest"), 16)


@asynccontextmanager
async def opened(
    settings: Settings, chain: Anvil, clock: FixedClock, token: LaneToken, pay_many: PayManyContract | None = None
) -> AsyncIterator[Station]:
    """Open a lane that pays the token."""
    tokens = {"USDT": token}
    async with open_station(settings, chain, clock=clock, tokens=tokens, pay_many=pay_many) as station:
        yield station


def dollars(station: Station, key: str, units: int = UNITS) -> Payment:
    return station.payment(key, gwei=units, asset=USD)


@pytest.mark.parametrize("oddity", [NORMAL, ANSWERS_NOTHING])
async def test_a_token_that_moves_has_paid_whatever_it_answers(
    settings: Settings, chain: Anvil, clock: FixedClock, oddity: int
) -> None:
    token = await made_token(chain, oddity)
    async with opened(settings, chain, clock, token) as station:
        payment = dollars(station, "p-1")
        async with station.worker():
            await station.pay(payment)
            await station.until_settled([payment])
        assert isinstance(await station.status(payment), Settled)
    assert await holds(chain, token, payment) == UNITS


@pytest.mark.parametrize("count", [1, 4])
async def test_what_comes_short_is_never_paid_and_waits_for_a_person_who_is_told(
    settings: Settings, chain: Anvil, clock: FixedClock, count: int
) -> None:
    contract = await made_contract(chain)
    token = await made_token(chain, KEEPS_A_FEE)
    async with opened(settings, chain, clock, token, contract) as station:
        payments = [dollars(station, f"p-{number}") for number in range(count)]
        async with station.worker():
            await station.pay(*payments)
            await station.until_all(payments, s.SHORT)
            await station.until_told(f"only {UNITS - UNITS // 10} of {UNITS} units")
        for payment in payments:
            status = await station.status(payment)
            assert isinstance(status, Pending)
            assert "a person" in status.waiting_for
            assert await holds(chain, token, payment) == UNITS - UNITS // 10
        await station.tell((await station.record(payments[0])).id, Override(s.SETTLED, "they take it so", "ada"))
        assert isinstance(await station.status(payments[0]), Settled)


async def test_what_comes_short_and_is_sped_up_by_a_wallet_is_not_paid_a_second_time(
    settings: Settings, chain: Anvil, clock: FixedClock
) -> None:
    token = await made_token(chain, KEEPS_A_FEE)
    async with opened(settings, chain, clock, token) as station:
        nonce = await chain.nonce(LANE.address)
        payment = dollars(station, "p-1")
        async with station.worker():
            await station.pay(payment)
            sent = (await station.until_nonce(nonce, s.SENT)).data
            await steal(station, chain, nonce=nonce, to=token.address, wei=0, data=sent.data, gas=sent.gas)
            await station.until_all([payment], s.SHORT)
            await station.settle_down()
    assert await chain.nonce(LANE.address) == nonce + 1
    assert await holds(chain, token, payment) == UNITS - UNITS // 10


async def test_a_token_that_says_no_without_failing_has_not_paid(
    settings: Settings, chain: Anvil, clock: FixedClock
) -> None:
    token = await made_token(chain, SAYS_NO)
    async with opened(settings, chain, clock, token) as station:
        payment = dollars(station, "p-1")
        async with station.worker():
            await station.pay(payment)
            await station.until_all([payment], s.FAILED)
        status = await station.status(payment)
    assert isinstance(status, Failed)
    assert status.cause is Cause.DESTINATION
    assert status.evidence is not None
    assert await holds(chain, token, payment) == 0


async def test_a_lane_that_is_short_of_a_token_waits_with_it_and_pays_all_else(
    settings: Settings, chain: Anvil, clock: FixedClock
) -> None:
    token = await made_token(chain, NORMAL)
    async with opened(settings, chain, clock, token) as station:
        short, ether = dollars(station, "too-much", SUPPLY + 1), station.payment("ether")
        async with station.worker():
            await station.pay(short)
            await station.until_waits("1 units of the token")
            assert (await station.lane_data()).lacks == token.address
            await station.pay(ether)
            await station.until_settled([ether])
            assert (await station.record(short)).state == s.QUEUED


async def test_a_token_that_is_none_holds_up_nothing_else(settings: Settings, chain: Anvil, clock: FixedClock) -> None:
    thrower = LaneToken((await existing(chain, 1))[0], 6)
    await chain.set_code(thrower.address, "0x60006000fd")
    async with opened(settings, chain, clock, thrower) as station:
        bad, ether = dollars(station, "bad"), station.payment("ether")
        async with station.worker():
            await station.pay(bad)
            await station.until_waits("does not answer")
            assert (await station.lane_data()).lacks == ""
            await station.pay(ether)
            await station.until_settled([ether])
            events = len(await station.whys(station.lanes.books.lane_id("ethereum")))
            await station.settle_down()
            assert len(await station.whys(station.lanes.books.lane_id("ethereum"))) == events, "said once"


@pytest.mark.parametrize("oddity", [NORMAL, IN_96_BITS])
async def test_the_contract_is_allowed_to_pull_once_and_batches_follow(
    settings: Settings, chain: Anvil, clock: FixedClock, oddity: int
) -> None:
    contract, token = await made_contract(chain), await made_token(chain, oddity)
    async with opened(settings, chain, clock, token, contract) as station:
        before = await chain.nonce(LANE.address)
        first = [dollars(station, f"a-{number}") for number in range(5)]
        second = [dollars(station, f"b-{number}") for number in range(5)]
        await station.pay(*first)
        async with station.worker():
            await station.until_settled(first)
        await station.pay(*second)
        async with station.worker():
            await station.until_settled(second)
        assert await chain.nonce(LANE.address) == before + 3, "one permission, two batches"
        for payment in (*first, *second):
            assert await holds(chain, token, payment) == UNITS


async def test_a_permission_that_would_fail_is_not_tried_on_the_chain(
    settings: Settings, chain: Anvil, clock: FixedClock
) -> None:
    contract, token = await made_contract(chain), await made_token(chain, LETS_NOBODY_PULL)
    async with opened(settings, chain, clock, token, contract) as station:
        before = await chain.nonce(LANE.address)
        payments = [dollars(station, f"p-{number}") for number in range(5)]
        await station.pay(*payments)
        async with station.worker():
            await station.until_waits("does not let the contract")
            await station.settle_down()
            assert await chain.nonce(LANE.address) == before
            assert await chain.waiting() == []
