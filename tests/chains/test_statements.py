"""What a chain says of a lane's address is held against its payments, to the wei; nothing that happened is left out."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from adapters.ethereum.pay_many import PayManyContract
from adapters.ethereum.statement import SPAN, AddressStatement
from machines.core.chain import Address
from machines.core.clock import DAY, HOUR, FixedClock, Millis
from machines.core.decision import move
from machines.core.errors import Retryable
from machines.core.facts import Nothing
from machines.core.money import ETH, NGN, Assets
from machines.core.ports import LineKind, Payment, StatementLine, StatementPart
from machines.core.rail_share import FINE, RailPart
from machines.finding.data import FindingKind
from machines.finding.react import finding
from machines.transaction import lifecycle as s
from machines.transaction.facts import BumpAsked, CancelAsked
from machines.transaction.ports import LaneToken
from payflow.app.lanes import setups_of
from payflow.config import Settings
from payflow.desk.person import Person
from payflow.desk.reconcile.findings import FindingFilter
from payflow.desk.reconcile.lane_payments import compared_lanes, statement_of
from payflow.desk.reconcile.payouts import PayoutsReconcile
from payflow.desk.reconcile.reconciler import Reconciler, reconciler_of
from payflow.desk.reconcile.repairs import FindingRepairs
from payflow.desk.reconcile.wallet_opening import open_wallets, wallet_openings
from payflow.store.accounts import RailAccount
from payflow.store.registers.tokens import Role
from tests.chain import ETHER, GWEI, LANE, OTHER, Anvil, stranger
from tests.chains.batches import existing, made_contract
from tests.chains.test_tokens import made_token
from tests.lanes import USD, Station, open_station, outside, steal

LANE_NAME = "ethereum"
OTTO = Person("otto", Role.OPERATOR, "token")
ODD_WEI = 3 * GWEI // 2 + 7
"""What is no whole number of gwei."""


class Books:
    """A lane with a reconciler."""

    def __init__(self, station: Station, clock: FixedClock) -> None:
        self.station, self.clock = station, clock
        store = station.store
        compared = compared_lanes(store, station.lanes)
        nobody = PayoutsReconcile(store, station.metrics, None, {})  # type: ignore[arg-type]
        self.reconciler: Reconciler = reconciler_of(store, station.metrics, setups_of(station.lanes), nobody, compared)
        store.serve([*station.lanes.machines, finding(self.reconciler.acts())])

    async def later(self, ms: int = 2 * HOUR) -> None:
        """Let time go by on both sides."""
        self.clock.at = Millis(self.clock.at + ms)
        await self.station.chain.rpc("evm_setNextBlockTimestamp", self.clock.at // 1000)
        await self.station.chain.mine(4)

    async def kinds(self) -> Counter[tuple[FindingKind, int]]:
        """Compare, and say what is open: each with its sum in gwei."""
        turn = await self.reconciler.compare(LANE_NAME)
        open_ = await self.reconciler.findings.all(FindingFilter())
        assert {one.id for one in turn.found} <= {one.id for one in open_}
        return Counter((one.data.kind, one.data.units) for one in open_)

    async def account(self, asset: str = "ETH") -> RailAccount:
        """What both sides have."""
        books = await self.station.store.ledger.check()
        assert books.faults == []
        return books.rails[LANE_NAME, asset]

    async def lines(self) -> list[StatementLine]:
        return [line for part in await self.parts() for line in part.lines]

    async def parts(self) -> list[StatementPart]:
        statement = self.reconciler.rails[LANE_NAME].statement
        assert statement is not None
        return [one async for one in statement.parts(Millis(0), self.clock.now(), self.station.store.records.assets)]


@asynccontextmanager
async def opened(
    settings: Settings,
    chain: Anvil,
    clock: FixedClock,
    tokens: dict[str, LaneToken] | None = None,
    pay_many: PayManyContract | None = None,
    *,
    opens: bool = True,
) -> AsyncIterator[Books]:
    """Open a lane whose clock is the chain's, and read its statement once."""
    newest = await chain.block(await chain.height())
    clock.at = Millis(int(newest["timestamp"], 16) * 1000)
    assets = Assets((NGN, ETH, USD))
    async with open_station(settings, chain, clock=clock, tokens=tokens, pay_many=pay_many, assets=assets) as station:
        books = Books(station, clock)
        await chain.mine(SPAN)  # what stood before is in another part of the statement
        await books.later(2 * DAY)
        if opens:
            assert await books.kinds() == Counter()
            await open_wallets(station.store, await wallet_openings(station.store, books.reconciler))
            assert (await books.account()).unexplained == 0
        yield books


@pytest.fixture
async def books(settings: Settings, chain: Anvil, clock: FixedClock) -> AsyncIterator[Books]:
    async with opened(settings, chain, clock) as books:
        yield books


async def paid(books: Books, *payments: Payment) -> None:
    """Pay until it is buried."""
    async with books.station.worker():
        await books.station.pay(*payments)
        await books.station.until_settled(payments)


async def test_payments_gas_and_top_ups_agree_to_the_wei_and_each_is_read_once(books: Books, chain: Anvil) -> None:
    await paid(books, *(books.station.payment(f"p-{number}") for number in range(3)))
    await chain.send(OTHER, LANE.address, ODD_WEI)
    await chain.mine(4)
    await books.later()
    assert await books.kinds() == Counter()
    account = await books.account()
    assert account.unexplained == 0
    assert account.fine(RailPart.CALLS) == 3_000_000 * FINE
    assert account.fine(RailPart.WALLET) == await chain.balance(LANE.address)
    for _ in range(2):
        await books.later()
        turn = await books.reconciler.compare(LANE_NAME, Millis(books.clock.at - DAY))
        assert (turn.lines, turn.found) == (0, ())
    assert (await books.account()).unexplained == 0


async def test_what_somebody_else_sent_with_the_key_is_not_ours_once_with_its_gas(books: Books, chain: Anvil) -> None:
    await outside(chain, nonce=0, to=stranger(), wei=ODD_WEI)
    await chain.mine(4)
    assert await books.kinds() == Counter(), "its hour has not gone by"
    await books.later()
    assert await books.kinds() == Counter({(FindingKind.NOT_OURS, -1): 1})
    (record,) = await books.reconciler.findings.all(FindingFilter())
    assert record.data.fine == -ODD_WEI
    await FindingRepairs(books.station.store, books.reconciler).do(record.id, OTTO, "Otto tried a new wallet")
    assert await books.kinds() == Counter()
    account = await books.account()
    assert account.unexplained == 0
    assert account.fine(RailPart.FEES) % GWEI, "the gas is booked to the wei"


async def test_who_steals_a_nonce_is_found_and_what_waited_goes_on(books: Books, chain: Anvil) -> None:
    station = books.station
    payment = station.payment("p-1")
    async with station.worker():
        await station.pay(payment)
        await station.until_nonce(0, s.SENT)
        await steal(station, chain, nonce=0, to=stranger(), wei=5 * GWEI)
        await station.until_settled([payment])
    await books.later()
    assert await books.kinds() == Counter({(FindingKind.NOT_OURS, -5): 1})


async def test_a_bump_and_a_no_op_cost_gas_alone(books: Books, chain: Anvil) -> None:
    station = books.station
    bumped, cancelled = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(bumped, cancelled)
        first, second = await station.until_nonce(0, s.SENT), await station.until_nonce(1, s.SENT)
        await station.tell(first.id, BumpAsked("otto"))
        await station.until_attempts(0, 2)
        keys = {station.lanes.books.payment_id(LANE_NAME, one.key): one for one in (bumped, cancelled)}
        gone = keys[second.data.members[0]]
        await station.tell(second.id, CancelAsked("otto", "not wanted"))
        await station.until_attempts(1, 2)
        await station.until_nonce(1, s.SENT)
        left = [one for one in (bumped, cancelled) if one is not gone]
        await station.until_settled(left)
        await station.until_all([gone], s.FAILED)
    await books.later()
    assert await books.kinds() == Counter()
    assert (await books.account()).unexplained == 0
    assert len([one for one in await books.lines() if one.amount.units == 0 and one.fee]) == 1


async def test_a_batch_has_a_line_for_each_payee_but_whom_it_could_not_pay(
    settings: Settings, chain: Anvil, clock: FixedClock
) -> None:
    contract = await made_contract(chain)
    payees = await existing(chain, 6)
    await chain.set_code(payees[2], "0x60006000fd")  # whatever it gets it sends back
    async with opened(settings, chain, clock, pay_many=contract) as books:
        station = books.station
        station.set_policy(batch_size=6)
        payments = [station.payment(f"p-{number}", to) for number, to in enumerate(payees)]
        good = [one for one in payments if one.to["address"] != payees[2]]
        async with station.worker():
            await station.pay(*payments)
            await station.until_settled(good)
        await books.later()
        assert await books.kinds() == Counter()
        assert (await books.account()).unexplained == 0
        lines = [one for one in await books.lines() if one.reference.startswith("1:") and one.amount.units]
        assert {one.account for one in lines} == {one.to["address"] for one in good}
        assert len({one.id for one in lines}) == len(good)
        assert len([one for one in lines if one.fee is not None]) == 1, "the gas is there once"


@pytest.mark.parametrize("count", [1, 4])
async def test_tokens_are_compared_with_what_they_moved_and_whoever_else_moves_them_is_found(
    settings: Settings, chain: Anvil, clock: FixedClock, count: int
) -> None:
    contract = await made_contract(chain)
    token = await made_token(chain, 0)
    async with opened(settings, chain, clock, {"USDT": token}, contract) as books:
        station = books.station
        station.set_policy(batch_size=4)
        held = (await books.account("USDT")).fine(RailPart.WALLET)
        assert held == 10**12 * FINE
        payments = [station.payment(f"p-{number}", gwei=5_000_000, asset=USD) for number in range(count)]
        await paid(books, *payments)
        await books.later()
        assert await books.kinds() == Counter()
        nonce = await chain.nonce(LANE.address)
        data = "0xa9059cbb" + f"{int(stranger(), 16):064x}" + f"{777:064x}"
        await outside(chain, nonce=nonce, to=token.address, wei=0, data=data, gas=200_000)
        await chain.mine(4)
        await books.later()
        found = await books.kinds()
        assert found[FindingKind.NOT_OURS, -777] == 1, "the token"
        assert set(found) == {(FindingKind.NOT_OURS, -777), (FindingKind.NOT_OURS, 0)}, "and the gas of it, in ether"
        sent = count * 5_000_000 + 777
        assert (await books.account("USDT")).fine(RailPart.WALLET) == held - sent * FINE


async def test_a_wallet_that_is_opened_late_knows_what_was_in_it_and_hides_nothing_that_differs(
    settings: Settings, chain: Anvil, clock: FixedClock
) -> None:
    """It paid before anybody read its statement, and since; somebody else used its key, and money came in."""
    async with opened(settings, chain, clock, opens=False) as books:
        station = books.station
        await paid(books, station.payment("p-1"))
        await chain.mine(SPAN)
        await books.later(3 * DAY)
        assert await books.kinds() == Counter()
        await paid(books, station.payment("p-2"), station.payment("p-3"))
        await chain.send(OTHER, LANE.address, ODD_WEI)
        await chain.mine(4)
        nonce = await chain.nonce(LANE.address)
        stolen_by = await outside(chain, nonce=nonce, to=stranger(), wei=7 * GWEI)
        await chain.mine(4)
        await books.later()
        assert await books.kinds() == Counter({(FindingKind.NOT_OURS, -7): 1})
        async with station.worker():  # on no line yet: it is proven by fewer blocks than the statement waits for
            late = station.payment("p-4")
            await station.pay(late)
            await station.until_nonce(nonce + 1, s.SENT)
        (wallet,) = await wallet_openings(station.store, books.reconciler)
        assert wallet.fine == 10_000 * ETHER, "what anvil gave it, whatever has left since"
        await open_wallets(station.store, [wallet])
        assert await wallet_openings(station.store, books.reconciler) == [], "once"
        receipt = await chain.rpc("eth_getTransactionReceipt", stolen_by)
        stolen = 7 * GWEI + int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
        assert (await books.account()).unexplained == -stolen
        (record,) = await books.reconciler.findings.all(FindingFilter())
        await FindingRepairs(station.store, books.reconciler).do(record.id, OTTO, "Otto tried a new wallet")
        assert (await books.account()).unexplained == 0
        await paid(books, late)
        await books.later()
        assert await books.kinds() == Counter()
        assert (await books.account()).unexplained == 0


async def test_what_the_chain_does_not_show_is_missing_there_and_stops_the_lane(books: Books, chain: Anvil) -> None:
    """Somebody wrote into the store that it was paid."""
    station = books.station
    await station.pause()
    payment = station.payment("p-1")
    await station.pay(payment)
    record = await station.record(payment)
    stored = await station.store.records.read(record.id)
    await station.store.records.commit(stored, move("recognize", "so it seems"), Nothing(), "somebody")
    await station.resume()
    await books.later(30 * 60 * 1000)
    assert await books.kinds() == Counter(), "its hour has not gone by"
    await books.later()
    assert await books.kinds() == Counter({(FindingKind.MISSING_THERE, -1_000_000): 1})
    assert "rail:ethereum" in await station.store.pauses.all()


async def test_what_a_contract_sends_is_seen_though_no_transaction_names_the_lane(books: Books, chain: Anvil) -> None:
    """A contract that passes on to the lane whatever it gets."""
    passes_on = stranger()
    code = "0x6000600060006000" + "34" + "73" + LANE.address[2:] + "5a" + "f1" + "00"
    await chain.set_code(passes_on, code)
    await chain.send(OTHER, passes_on, ODD_WEI, gas=hex(100_000))
    await chain.mine(4)
    await books.later()
    assert await books.kinds() == Counter()
    account = await books.account()
    assert account.unexplained == 0
    (line,) = [one for one in await books.lines() if one.kind is LineKind.TOP_UP]
    assert line.id.endswith(":unseen")


async def test_a_thousand_quiet_blocks_cost_a_few_questions_and_parts_begin_where_they_did(
    books: Books, chain: Anvil
) -> None:
    await chain.mine(4 * SPAN)
    await books.later()
    before = sum(one.calls for one in books.station.nodes.figures())
    first = await books.parts()
    asked = sum(one.calls for one in books.station.nodes.figures()) - before
    assert len(first) >= 4
    assert asked <= 8 * len(first) + 20, "no block of a quiet stretch is read"
    await chain.send(OTHER, LANE.address, 10 * GWEI)
    await chain.mine(SPAN // 2)
    again = await books.parts()
    assert [one.begins for one in again][: len(first)] == [one.begins for one in first]
    for one, then in pairwise(again):
        assert one.balances["ETH"].closing == then.balances["ETH"].opening


async def test_where_no_node_keeps_old_states_each_block_is_read_and_nothing_said_of_balances(
    books: Books, chain: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    await paid(books, books.station.payment("p-1"))
    await chain.send(OTHER, LANE.address, ODD_WEI)
    await chain.mine(4)
    await books.later()
    with_states = {one.id: one for one in await books.lines()}

    async def forgotten(_address: Address, _block: int) -> None:
        return None

    monkeypatch.setattr(books.station.nodes, "state", forgotten)
    parts = await books.parts()
    assert {line.id: line for part in parts for line in part.lines} == with_states
    assert all(not part.balances for part in parts)
    assert await books.kinds() == Counter()


async def test_nothing_is_missing_while_the_chain_stands_still_and_an_unproven_block_says_nothing(
    books: Books, chain: Anvil
) -> None:
    await paid(books, books.station.payment("p-1"))
    await chain.send(OTHER, LANE.address, ODD_WEI)
    await chain.mine(1)
    assert all(line.kind is not LineKind.TOP_UP for line in await books.lines()), "it may go away yet"
    books.clock.at = Millis(books.clock.at + DAY)  # no block is made for a day
    assert await books.kinds() == Counter()
    statement = statement_of(books.station.lane)
    assert isinstance(statement, AddressStatement)
    books.station.set_policy(depth=10**6)
    unproven = statement_of(books.station.lane)
    assert unproven is not None
    with pytest.raises(Retryable, match="proven"):
        [one async for one in unproven.parts(Millis(0), books.clock.at, books.station.store.records.assets)]
