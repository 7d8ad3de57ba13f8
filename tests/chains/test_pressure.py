"""A lane under pressure: dear blocks, a full lane, a signer that fails, a process that ends between two calls."""

from dataclasses import dataclass, field, replace

import pytest

from machines.core.chain import Address, SignedTransaction, TxHash, Unsigned
from machines.core.clock import FixedClock
from machines.core.errors import RailClosed, Retryable
from machines.core.money import ETH, Money
from machines.core.ports import Destination, Failed, Payment, PaymentKey, Settled
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.policy import FeePolicy
from payflow.config import Settings
from tests.chain import GWEI, LANE, Anvil, raw_key, stranger
from tests.chains.batches import existing, made_contract
from tests.lanes import Station, open_station, received

AMOUNT = 1_000_000 * GWEI


# ── dear blocks ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_when_gas_is_ten_times_dearer_the_ceiling_holds_and_the_oldest_go_first_afterwards(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    ceiling = 5 * GWEI
    fees = FeePolicy(max_fee_ceiling_wei=ceiling, tip_ceiling_wei=2 * GWEI, tip_floor_wei=GWEI // 10)
    station.set_policy(fees=fees, bump_after_s=30, rebroadcast_s=30)
    payments = [station.payment(f"p-{number}") for number in range(5)]
    async with station.worker():
        for payment in payments:
            await station.pay(payment)
            await station.until(payment, s.SENDING)
        for _ in range(4):
            await chain.next_base_fee(10 * GWEI)
            await chain.mine(1)
            clock.advance(31)
            await station.settle_down()
        assert await chain.nonce(LANE.address) == 0
        await chain.next_base_fee(GWEI)
        await chain.mine(1)
        await station.until_all(payments, s.SETTLED, each=lambda: clock.advance(31))
    for nonce, payment in enumerate(payments):
        assert (await station.record(payment)).data.nonce == nonce
        for attempt in (await station.transaction(nonce)).data.attempts:
            assert attempt.fee.max_wei <= ceiling
    assert set((await received(chain, payments)).values()) == {AMOUNT}


async def test_a_legacy_lane_sends_and_bumps_with_one_price(station: Station, chain: Anvil, clock: FixedClock) -> None:
    station.set_policy(fees=FeePolicy(legacy=True, gas_price_wei=3 * GWEI), bump_after_s=30)
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        await station.until_nonce(0, s.SENT)
        clock.advance(31)
        await station.until_attempts(0, 2)
        await station.until_settled([payment])
    first, second = (await station.transaction(0)).data.attempts
    assert (first.fee.tip_wei, second.fee.tip_wei) == (None, None)
    assert first.fee.max_wei == 3 * GWEI
    assert second.fee.max_wei >= 3 * GWEI * 9 // 8


# ── a full lane ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_no_more_is_in_flight_than_allowed(station: Station, chain: Anvil) -> None:
    station.set_policy(in_flight=3)
    payments = [station.payment(f"p-{number}") for number in range(8)]
    await station.pay(*payments)
    async with station.worker():
        await station.until_nonce(2, s.SENT)
        await station.settle_down()
        assert len(await chain.waiting()) == 3
        await station.until_settled(payments)
    assert await chain.nonce(LANE.address) == 8


async def test_a_payment_that_is_withdrawn_while_the_lane_looks_is_not_paid(station: Station, chain: Anvil) -> None:
    withdrawn, other = station.payment("p-1"), station.payment("p-2")
    await station.pay(withdrawn, other)

    @dataclass
    class Slow:
        """Signs only after somebody has changed his mind."""

        address: Address = LANE.address
        done: bool = False

        async def sign(self, unsigned: Unsigned) -> SignedTransaction:
            if not self.done:
                self.done = True
                await station.tell((await station.record(withdrawn)).id, f.Withdrawn("ada", "wrong"))
            return await raw_key(LANE.key).sign(unsigned)

    station.change_lane(signer=Slow())
    async with station.worker():
        await station.until_settled([other])
    assert isinstance(await station.status(withdrawn), Failed)
    assert await chain.balance(withdrawn.to["address"]) == 0
    assert await chain.nonce(LANE.address) == 1


# ── a signer that fails ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Sick:
    """Signs only so often, and then raises."""

    trouble: Exception
    good_for: int
    address: Address = LANE.address

    async def sign(self, unsigned: Unsigned) -> SignedTransaction:
        if not self.good_for:
            raise self.trouble
        self.good_for -= 1
        return await raw_key(LANE.key).sign(unsigned)


async def test_a_signer_that_fails_in_the_middle_leaves_no_nonce_open(station: Station, chain: Anvil) -> None:
    payments = [station.payment(f"p-{number}") for number in range(6)]
    await station.pay(*payments)
    station.change_lane(signer=Sick(Retryable("the signer is down"), good_for=2))
    async with station.worker():
        await station.until_nonce(1, s.SENT)
        await station.settle_down()
        assert (await station.lane_data()).next_nonce == 2
        assert await station.lanes.books.transaction("ethereum", 2) is None
        station.change_lane(signer=raw_key(LANE.key))
        await station.until_settled(payments)
    assert await chain.nonce(LANE.address) == 6
    assert set((await received(chain, payments)).values()) == {AMOUNT}


async def test_a_signer_for_somebody_else_closes_the_rail_and_uses_no_nonce(station: Station, chain: Anvil) -> None:
    payment = station.payment("p-1")
    await station.pay(payment)
    station.change_lane(signer=Sick(RailClosed("it signed for somebody else", rail="ethereum"), good_for=0))
    async with station.worker():
        await station.until_paused("rail:ethereum")
        assert (await station.lane_data()).next_nonce == 0
        station.change_lane(signer=raw_key(LANE.key))
        await station.resume()
        await station.until_settled([payment])
    assert await chain.nonce(LANE.address) == 1


# ── told before it leaves ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Ledger:
    """Somebody else's books, which may be out of reach."""

    chain: Anvil
    told: list[tuple[str, str, int]] = field(default_factory=list)
    broken: bool = False
    early: bool = True
    """Whether nothing that it heard of was on its way before."""
    settled: set[str] = field(default_factory=set)
    """What must not leave any more."""

    async def announce(self, key: PaymentKey, tx: TxHash, nonce: int) -> str:
        self.early = self.early and tx not in await self.chain.waiting()
        self.told.append((key, tx, nonce))
        if self.broken:
            raise Retryable("the books cannot be reached")
        return "somebody settled it by hand" if key in self.settled else ""


@pytest.fixture
def ledger(chain: Anvil) -> Ledger:
    """Books that can be reached."""
    return Ledger(chain)


async def test_every_attempt_is_told_before_it_leaves_and_told_again_when_that_failed(
    station: Station, chain: Anvil, clock: FixedClock, ledger: Ledger
) -> None:
    station.change_lane(announce=ledger.announce)
    station.set_policy(bump_after_s=30)
    ledger.broken = True
    payment = station.payment("p-1")
    await station.pay(payment)
    async with station.worker():
        await station.until_nonce(0, s.SIGNED)
        await station.settle_down()
        assert await chain.waiting() == []
        assert len(ledger.told) >= 2
    # The worker ended between the telling and the send; another one takes over.
    ledger.broken = False
    async with station.worker("second"):
        await station.poke()
        await station.until_nonce(0, s.SENT)
        clock.advance(31)
        await station.until_attempts(0, 2)
        await station.until_nonce(0, s.SENT)
        await station.until_settled([payment])
    first, second = (attempt.hash for attempt in (await station.transaction(0)).data.attempts)
    assert {told for _, told, _ in ledger.told} == {first, second}
    assert {(key, nonce) for key, _, nonce in ledger.told} == {(payment.key, 0)}
    assert ledger.early


async def test_what_must_not_leave_any_more_gives_its_nonce_to_nothing_and_keeps_nobody_waiting(
    station: Station, chain: Anvil, ledger: Ledger
) -> None:
    station.change_lane(announce=ledger.announce)
    settled, other = station.payment("p-1"), station.payment("p-2")
    await station.pay(settled)
    async with station.worker():
        ledger.broken = True
        await station.until_nonce(0, s.SIGNED)
        await station.pay(other)
        await station.until_nonce(1, s.SIGNED)
        ledger.settled, ledger.broken = {settled.key}, False
        await station.until_all([settled], s.FAILED)
        await station.until_settled([other])
    failed = await station.status(settled)
    assert isinstance(failed, Failed)
    assert "settled it by hand" in " ".join(await station.whys((await station.transaction(0)).id))
    assert await received(chain, [settled]) == {dict(settled.to.fields)["address"]: 0}


async def test_nobody_is_told_of_an_attempt_that_pays_nobody(station: Station, chain: Anvil, ledger: Ledger) -> None:
    station.change_lane(announce=ledger.announce)
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        sent = await station.until_nonce(0, s.SENT)
        await station.tell(sent.id, f.CancelAsked("ada", "wrong"))
        await station.until_attempts(0, 2)
        await station.until_nonce(0, s.SENT)
        await station.until_all([payment], s.FAILED)
    assert {tx for _, tx, _ in ledger.told} == {sent.data.newest.hash}


# ── contracts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def call(key: str, to: str, data: str, wei: int = 0) -> Payment:
    fields = (("to", to), ("data", data), ("value_wei", str(wei)))
    return Payment(PaymentKey(key), Destination("call", fields), Money(0, ETH))


async def test_a_contract_is_made_and_called_and_the_evidence_says_where_it_is(station: Station, chain: Anvil) -> None:
    # It returns one byte of code, which stops at once whatever it is called with.
    making = call("make", "", "0x60016000f3")
    async with station.worker():
        await station.pay(making)
        await station.until_settled([making])
        made = await station.status(making)
        assert isinstance(made, Settled)
        where = dict(made.evidence.details)["contract"]
        calling = call("call", where, "0xdeadbeef", wei=7)
        await station.pay(calling)
        await station.until_settled([calling])
    assert await chain.rpc("eth_getCode", where, "latest") == "0x00"
    assert await chain.balance(where) == 7
    assert "contract" not in dict((await _settled(station, calling)).evidence.details)


async def _settled(station: Station, payment: Payment) -> Settled:
    status = await station.status(payment)
    assert isinstance(status, Settled)
    return status


async def test_a_call_that_would_fail_is_refused_in_words_that_can_be_read(station: Station, chain: Anvil) -> None:
    thrower = stranger()
    await chain.set_code(thrower, "0x60006000fd")
    bad = call("bad", thrower, "0xdeadbeef")
    async with station.worker():
        await station.pay(bad)
        await station.until_all([bad], s.FAILED)
    status = await station.status(bad)
    assert isinstance(status, Failed)
    assert "would fail" in status.reason
    assert "revert" in status.reason
    assert await chain.nonce(LANE.address) == 0


async def test_a_batch_in_which_nobody_takes_the_money_costs_its_gas_and_says_so_of_each(
    settings: Settings, chain: Anvil, clock: FixedClock
) -> None:
    contract = await made_contract(chain)
    async with open_station(settings, chain, clock=clock, pay_many=contract) as station:
        recipients = await existing(chain, 4)
        payments = [station.payment(f"p-{number}", to) for number, to in enumerate(recipients)]
        await station.pay(*payments)
        async with station.worker():
            batch = await station.until_nonce(1, s.SENT)
            assert len(batch.data.members) == 4
            for to in recipients:
                await chain.set_code(to, "0x60006000fd")
            await station.until_all(payments, s.FAILED)
        assert (await station.transaction(1)).state == s.FINAL
        for payment in payments:
            status = await station.status(payment)
            assert isinstance(status, Failed)
            assert status.evidence is not None
            assert status.cause.value == "destination"
    assert await chain.nonce(LANE.address) == 2


async def test_two_workers_on_one_lane_pay_each_payment_once(station: Station, chain: Anvil) -> None:
    payments = [station.payment(f"p-{number}") for number in range(40)]
    async with station.worker("first"), station.worker("second"):
        await station.pay(*payments)
        await station.until_settled(payments)
    assert await chain.nonce(LANE.address) == 40
    assert set((await received(chain, payments)).values()) == {AMOUNT}


async def test_money_that_is_short_only_while_gas_is_estimated_fails_no_payment(station: Station, chain: Anvil) -> None:
    wallet = stranger()
    await chain.set_code(wallet, "0x00")
    payment = replace(station.payment("p-1", wallet), amount=Money(10**12, ETH))
    await chain.set_balance(LANE.address, 10**21 - 1)
    async with station.worker():
        await station.pay(payment)
        await station.poke()
        await station.until_waits("ETH more at")
        assert (await station.record(payment)).state == s.QUEUED
        await chain.set_balance(LANE.address, 2 * 10**21)
        await station.until_settled([payment])
