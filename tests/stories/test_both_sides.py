"""Both sides of the books, to the last unit: what owners were paid, and what left a gateway's wallet and a lane's.

At the end of each story the wallet that the world shows is what ours should hold: nothing is unexplained.
"""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from adapters.sandbox.magic import PAYS
from machines.core.clock import FixedClock, Millis
from machines.core.money import ETH, NGN, Money
from machines.core.ports import Destination, Payment, PaymentKey
from machines.core.rail_share import FINE, RailPart
from machines.transaction import lifecycle as t
from machines.transaction.facts import BumpAsked, CancelAsked
from payflow.config import Settings
from payflow.store.accounts import RailAccount
from tests.chain import LANE, Anvil, anvil, stranger
from tests.lanes import Station, open_station
from tests.servers import Kind
from tests.stories.banks import Choice, paystack, v3, v4
from tests.stories.test_archived_payouts import archived, compare_with_the_list, paid
from tests.stories.test_clicked_twice import looked_at
from tests.stories.town import ANN, Town, open_town

pytestmark = pytest.mark.parametrize("kind", [Kind.VALKEY], indirect=True)
EACH_BANK = pytest.mark.parametrize("choice", [v3, v4, paystack], ids=lambda choice: choice.__name__)


class Wallet:
    """The wallet at the gateway of a town."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.rail = town.settings.payout_rail

    @property
    def fine(self) -> int:
        """What is in it, in the parts that our books count."""
        return int(self.town.bank.transfers.wallets["NGN"].scaleb(NGN.decimals) * FINE)

    async def funded(self, fine: int, reference: str) -> None:
        """Its statement says that it was topped up."""
        ledger = self.town.store.ledger
        assert await ledger.book(self.rail, "NGN", RailPart.FUNDED, fine, reference, "top-up")
        assert not await ledger.book(self.rail, "NGN", RailPart.FUNDED, fine, reference, "top-up"), "read once more"

    async def account(self) -> RailAccount:
        """What our books have there, once it said what it holds; both sides must agree, and nothing be unexplained."""
        await self.town.store.ledger.book_balance(self.rail, "NGN", self.fine, Millis(self.town.clock.now()))
        books = await self.town.store.ledger.check()
        assert books.faults == []
        account = books.rails[self.rail, "NGN"]
        assert account.unexplained == 0, (account, self.fine)

        return account


def naira(account: RailAccount) -> dict[str, Decimal]:
    """What a rail has, but for the wallet and what came into it."""
    parts = (part for part in RailPart if part not in (RailPart.WALLET, RailPart.FUNDED))
    return {part.value: Decimal(fine) / FINE / 100 for part in parts if (fine := account.fine(part))}


def charged(town: Town) -> Decimal:
    """What the bank charged for all that it paid."""
    return sum((one.fee for one in town.bank.transfers.all), Decimal(0))


@EACH_BANK
@pytest.mark.parametrize("bearer", ["platform", "provider"])
async def test_a_fee_is_borne_by_who_bears_it_to_the_last_unit(settings: Settings, choice: Choice, bearer: str) -> None:
    async with open_town(settings, choice, payout_fee_bearer=bearer) as town:
        wallet = Wallet(town)
        await wallet.funded(wallet.fine, "what was there")
        async with town.worker():
            await paid(town)
        all_of_them = [one.record for one in await town.store.listing.owned_by(ANN, 50)]
        asked = Decimal(sum(one.amount.units for one in all_of_them if one.amount)) / 100
        arrived = sum(one.order.amount for one in town.bank.transfers.all)
        expected = {"settled": arrived, "borne": asked - arrived, "fees": charged(town)}
        assert naira(await wallet.account()) == {name: amount for name, amount in expected.items() if amount}
        knows_its_fee = choice is v3  # the others' pages show none before
        assert (asked != arrived) == (bearer == "provider" and knows_its_fee)


@EACH_BANK
async def test_what_comes_back_after_the_archive_leaves_its_fee_with_us(
    settings: Settings, choice: Choice, tmp_path: Path
) -> None:
    async with open_town(settings, choice) as town, town.worker():
        wallet = Wallet(town)
        await wallet.funded(wallet.fine, "what was there")
        payout = await paid(town)
        transfer = town.transfer(payout)
        await archived(town, payout, tmp_path / "archive")
        before = naira(await wallet.account())
        assert before["settled"] == 32_000, "it stays in the books"
        told = len(town.bank.courier.deliveries)
        town.bank.transfers.reverse(transfer)
        await town.time_passes(hours=1)
        if len(town.bank.courier.deliveries) == told:
            await compare_with_the_list(town)
        await town.until(payout, "returned")
        assert naira(await wallet.account()) == {"settled": 30_000, "fees": charged(town)}
        assert before["fees"] == charged(town)


async def test_a_retry_in_the_dashboard_is_paid_twice_until_it_comes_back_and_a_top_up_is_booked_once(
    settings: Settings,
) -> None:
    async with open_town(settings, v3, batch_schedule="instant") as town, town.worker():
        wallet = Wallet(town)
        await wallet.funded(wallet.fine, "what was there")
        await town.ann_earns("5000")
        payout = await town.ann_asks("1000", "0100000006")
        await town.approve(payout)
        await town.until_sent(payout)
        await town.time_passes(seconds=10)
        await town.until_over(payout)
        assert naira(await wallet.account()) == {}, "it failed, and cost nothing"
        first, second = (town.bank.transfers.retry(town.transfer(payout), chosen=PAYS) for _ in range(2))
        town.clicked.add(first.first.reference)
        await town.time_passes(seconds=10)
        await town.until(payout, "paid")
        await looked_at(town, payout)
        assert len((await town.record(payout)).data.also_paid) == 1
        fees = first.fee + second.fee
        assert naira(await wallet.account()) == {"settled": 2000, "twice": 1000, "fees": fees}

        town.bank.transfers.wallets["NGN"] += Decimal("250000.50")
        await wallet.funded(25_000_050 * FINE, "T-77")
        town.bank.transfers.reverse(second)
        await looked_at(town, payout, 2)
        await town.time_passes(minutes=11)
        assert (await town.until_looked(payout)).data.also_paid == ()
        assert naira(await wallet.account()) == {"settled": 1000, "fees": fees}


# ── a lane ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain that mines when it is told to."""
    async with anvil(mining=False) as chain:
        yield chain


@pytest.fixture
async def station(settings: Settings, chain: Anvil) -> AsyncIterator[Station]:
    """A lane on it."""
    async with open_station(settings, chain) as station:
        yield station


def call(key: str, to: str, data: str = "0x", wei: int = 0) -> Payment:
    """Something that is no plain payment."""
    fields = (("to", to), ("data", data), ("value_wei", str(wei)))
    return Payment(PaymentKey(key), Destination("call", fields), Money(0, ETH))


async def test_what_a_lane_sent_for_whom_and_its_gas_are_what_its_address_lost_to_the_wei(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    """Payments for a pool and nobody, an odd amount for a bounty, a contract, a bump, a nonce used up by nothing."""
    before = await chain.balance(LANE.address)
    pool = station.payment("pool-00-aaaaaaaaaaaaaaaa", gwei=3_000_000)
    bounty = call("bounty-00-aaaaaaaaaaaaaaaa/deploy/1", stranger(), wei=1_234_567_890_123)
    nobody, contract = station.payment("p-1", gwei=7), call("p-2", "", "0x600160005360016000f3")
    cancelled = station.payment("p-3", gwei=1_000_000)
    async with station.worker():
        await station.pay(pool)
        await station.until_nonce(0, t.SENT)
        await station.tell((await station.transaction(0)).id, BumpAsked("otto"))
        await station.until_attempts(0, 2)
        await station.pay(bounty, nobody, contract)
        await station.until_nonce(3, t.SENT)
        await station.pay(cancelled)
        await station.until_nonce(4, t.SENT)
        await station.tell((await station.transaction(4)).id, CancelAsked("otto", "not wanted"))
        await station.until_attempts(4, 2)
        await station.until_nonce(4, t.SENT)
        flying = (await station.store.ledger.rails())["ethereum", "ETH"]
        assert flying.fine(RailPart.IN_FLIGHT) == 3_000_000 * FINE + 1_234_567_890_123 + 7 * FINE + 1_000_000 * FINE
        await station.until_settled([pool, bounty, nobody, contract])
        await station.until_all([cancelled], t.FAILED)
    account = (await station.store.ledger.rails())["ethereum", "ETH"]
    gas = sum([int((await station.transaction(nonce)).data.fee_wei) for nonce in range(5)])
    assert {part: fine for part in RailPart if (fine := account.fine(part))} == {
        RailPart.POOLS: 3_000_000 * FINE,
        RailPart.BOUNTIES: 1_234_567_890_123,
        RailPart.CALLS: 7 * FINE,
        RailPart.GAS: gas,
    }
    assert gas % FINE, "an amount that no ledger unit can hold"
    assert account.expected == await chain.balance(LANE.address) - before
    assert (await station.store.ledger.check()).faults == []
    assert [fault async for fault in station.store.integrity.verify()] == []
