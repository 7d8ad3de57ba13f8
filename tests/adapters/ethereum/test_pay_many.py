"""The contract that pays many: nobody can stop the others, nobody is paid twice, nothing stays behind."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import aiohttp
import pytest

from adapters.addresses import keccak_hex
from adapters.ethereum.contracts import artifact
from adapters.ethereum.node import Nodes
from adapters.ethereum.pay_many import MOST_PAYEES, MOST_UNITS, PayManyContract
from machines.core.chain import Address, BatchPayee, Receipt, TxHash
from machines.core.errors import BadAmount, BadSettings, Contradiction, Rejected
from tests.chain import ETHER, GWEI, LANE, OTHER, Account, Anvil, anvil, deploy_data, stranger

CONTRACTS = Path(__file__).with_name("contracts")
UNLIMITED = "f" * 64

THROWS = "0x60006000fd"
LOOPS = "0x5b600056"
INVALID = "0xfe"
RETURNS_A_BOMB = "0x6201770060" + "00f3"
REVERTS_WITH_A_BOMB = "0x6201770060" + "00fd"
NEEDS_ALL_THAT_IT_MAY_USE = "0x617d005a10600957005b60006000fd"  # reverts with less than 32,000 gas: 30,000 and 2,300

REVERTS, SAYS_NO, MOVES_AND_SAYS_NO, SAYS_YES_AND_STAYS, BURNS = (1 << place for place in range(5))


def batch(number: int) -> str:
    return f"0x{number:064x}"


def padded(value: int | str) -> str:
    return f"{value:064x}" if isinstance(value, int) else value[2:].lower().rjust(64, "0")


@cache
def bytecode(name: str) -> str:
    """Compile one of the contracts that only tests need."""
    from vyper import compile_code  # type: ignore[import-untyped]  # noqa: PLC0415  (slow)

    source = (CONTRACTS / f"{name}.vy").read_text("utf-8")
    return str(compile_code(source, contract_path=name, output_formats=["bytecode"])["bytecode"])


@dataclass
class Desk:
    """A lane with its contract on a chain."""

    chain: Anvil
    nodes: Nodes
    contract: PayManyContract

    async def send(
        self, data: str, to: str | None = None, value_wei: int = 0, gas: int | None = None, sender: Account = LANE
    ) -> Receipt:
        """Send from an account, mine, and read the receipt."""
        fields = {"from": sender.address, "data": data, "value": hex(value_wei), "gasPrice": hex(5 * GWEI)}
        fields |= {"to": to} if to else {}
        fields |= {"gas": hex(gas)} if gas else {"gas": hex(8_000_000)}
        tx = TxHash(await self.chain.rpc("eth_sendTransaction", fields))
        await self.chain.mine()
        receipt = await self.nodes.receipt(tx)
        assert receipt is not None
        return receipt

    async def pay(self, number: int, payees: list[BatchPayee], token: Address | None = None) -> Receipt:
        """Pay a batch as a lane does."""
        value, data, gas = self.contract.pay(batch(number), payees, token)
        return await self.send(data, self.contract.address, value, gas)

    def failed(self, receipt: Receipt, number: int, payees: list[BatchPayee]) -> frozenset[int]:
        return self.contract.failed(receipt, batch(number), payees)

    async def made(self, name: str, argument: str = "", sender: Account = LANE) -> Address:
        """Make one of the contracts that only tests need."""
        receipt = await self.send(bytecode(name) + argument, sender=sender)
        assert receipt.contract is not None
        return receipt.contract

    async def coin(self, name: str) -> Address:
        """Make a token, of which the lane has all and the contract may take all."""
        coin = await self.made(name, padded(10**30))
        await self.send("0x095ea7b3" + padded(self.contract.address) + UNLIMITED, coin)
        return coin

    async def units(self, coin: Address, owner: str) -> int:
        return int(await self.nodes.call(coin, "0x70a08231" + padded(owner)), 16)


async def opened(chain: Anvil, nodes: Nodes, lane: Address = LANE.address) -> Desk:
    desk = Desk(chain, nodes, PayManyContract(LANE.address))
    receipt = await desk.send(deploy_data(lane))
    assert receipt.contract is not None
    return replace(desk, contract=PayManyContract(receipt.contract))


@pytest.fixture
async def desk(chain: Anvil, lone: Nodes) -> Desk:
    return await opened(chain, lone)


async def existing(chain: Anvil, count: int) -> list[BatchPayee]:
    payees = [BatchPayee(stranger(), ETHER // 7 + place) for place in range(count)]
    for payee in payees:
        await chain.set_balance(payee.to, 1)
    return payees


# The artifact.


def test_our_selectors_are_those_of_the_artifact() -> None:
    methods, contract = artifact("PayMany")["methods"], PayManyContract(LANE.address)
    one = [BatchPayee(stranger(), 1)]
    assert contract.pay(batch(1), one, None)[1][:10] == methods["payETH(bytes32,uint256[])"]
    assert contract.pay(batch(1), one, OTHER.address)[1][:10] == methods["payToken(bytes32,address,uint256[])"]


# Ether.


async def test_all_are_paid_and_nothing_stays(desk: Desk) -> None:
    payees = await existing(desk.chain, 10)
    receipt = await desk.pay(1, payees)
    assert desk.failed(receipt, 1, payees) == frozenset()
    for payee in payees:
        assert await desk.chain.balance(payee.to) == payee.units_wei + 1
    assert await desk.chain.balance(desk.contract.address) == 0


@pytest.mark.parametrize(
    "code", [THROWS, LOOPS, INVALID, REVERTS_WITH_A_BOMB], ids=["throws", "loops", "invalid", "bomb"]
)
async def test_one_bad_recipient_of_a_hundred_is_not_paid_and_the_others_are(desk: Desk, code: str) -> None:
    payees = await existing(desk.chain, 100)
    await desk.chain.set_code(payees[41].to, code)
    before = await desk.chain.balance(LANE.address)
    receipt = await desk.pay(1, payees)
    assert desk.failed(receipt, 1, payees) == {41}
    for place, payee in enumerate(payees):
        assert await desk.chain.balance(payee.to) == 1 + (0 if place == 41 else payee.units_wei)
    paid = sum(payee.units_wei for place, payee in enumerate(payees) if place != 41)
    spent = before - await desk.chain.balance(LANE.address)
    assert spent == paid + receipt.gas_used * receipt.gas_price_wei
    assert await desk.chain.balance(desk.contract.address) == 0


async def test_a_recipient_that_returns_a_bomb_is_paid_and_costs_only_its_own_gas(desk: Desk) -> None:
    payees = await existing(desk.chain, 3)
    await desk.chain.set_code(payees[0].to, RETURNS_A_BOMB)
    receipt = await desk.pay(1, payees)
    assert desk.failed(receipt, 1, payees) == frozenset()
    assert receipt.gas_used < 130_000


async def test_the_gas_limit_is_enough_when_all_burn_what_they_can(desk: Desk) -> None:
    payees = await existing(desk.chain, 100)
    for payee in payees:
        await desk.chain.set_code(payee.to, LOOPS)
    receipt = await desk.pay(1, payees)
    assert desk.failed(receipt, 1, payees) == frozenset(range(100))


async def test_the_gas_limit_is_enough_for_accounts_that_do_not_exist(desk: Desk) -> None:
    payees = [BatchPayee(stranger(), 1) for _ in range(100)]
    receipt = await desk.pay(1, payees)
    assert desk.failed(receipt, 1, payees) == frozenset()


async def test_whoever_sends_too_little_gas_cannot_make_a_recipient_fail(desk: Desk) -> None:
    """The recipients are honest and need all that they may use: they are paid, or all is as before."""
    payees = await existing(desk.chain, 3)
    for payee in payees:
        await desk.chain.set_code(payee.to, NEEDS_ALL_THAT_IT_MAY_USE)
    outcomes = []
    for gas in range(80_000, 200_000, 1_500):
        value, data, _ = desk.contract.pay(batch(gas), payees, None)
        before = await desk.chain.balance(payees[0].to)
        receipt = await desk.send(data, desk.contract.address, value, gas)
        outcomes.append(receipt.ok)
        if receipt.ok:
            assert desk.failed(receipt, gas, payees) == frozenset()
        else:
            assert await desk.chain.balance(payees[0].to) == before
    assert outcomes == sorted(outcomes), "from some limit on all are paid"
    assert set(outcomes) == {False, True}


async def test_a_used_batch_id_is_refused(desk: Desk) -> None:
    payees = await existing(desk.chain, 2)
    coin = await desk.coin("Coin")
    assert (await desk.pay(1, payees)).ok
    assert not (await desk.pay(1, payees)).ok
    assert not (await desk.pay(1, payees, coin)).ok
    assert (await desk.pay(2, payees, coin)).ok
    assert not (await desk.pay(2, payees)).ok
    assert await desk.chain.balance(payees[0].to) == payees[0].units_wei + 1


async def test_nobody_but_the_lane_may_call(desk: Desk) -> None:
    payees = await existing(desk.chain, 2)
    coin = await desk.coin("Coin")
    for token in (None, coin):
        value, data, gas = desk.contract.pay(batch(1), payees, token)
        assert not (await desk.send(data, desk.contract.address, value, gas, sender=OTHER)).ok
    assert (await desk.pay(1, payees)).ok, "the id is not used up by strangers"


async def test_a_value_that_is_not_the_sum_is_refused(desk: Desk) -> None:
    payees = await existing(desk.chain, 2)
    value, data, gas = desk.contract.pay(batch(1), payees, None)
    for wrong in (value - 1, value + 1):
        assert not (await desk.send(data, desk.contract.address, wrong, gas)).ok


async def test_money_that_was_forced_into_the_contract_pays_nobody(desk: Desk) -> None:
    await desk.chain.set_balance(desk.contract.address, ETHER)
    payees = await existing(desk.chain, 2)
    await desk.chain.set_code(payees[0].to, THROWS)
    receipt = await desk.pay(1, payees)
    assert desk.failed(receipt, 1, payees) == {0}
    assert await desk.chain.balance(desk.contract.address) == ETHER


async def test_ether_is_not_taken_without_a_batch(desk: Desk) -> None:
    assert not (await desk.send("0x", desk.contract.address, 1, 100_000)).ok


async def test_a_recipient_that_calls_back_gets_its_own_and_no_more(desk: Desk) -> None:
    caller = await desk.made("Reentrant")
    payees = [BatchPayee(caller, ETHER), *await existing(desk.chain, 2)]
    await desk.send(_prepare(desk.contract.address, _empty_batch(9)), caller)
    receipt = await desk.pay(1, payees)
    assert await desk.chain.balance(desk.contract.address) == 0
    paid = [place for place in range(3) if place not in desk.failed(receipt, 1, payees)]
    assert {1, 2} <= set(paid)
    assert await desk.chain.balance(caller) == (ETHER if 0 in paid else 0)


async def test_a_lane_that_is_a_contract_and_calls_back_does_not_run_its_batch_twice(chain: Anvil, lone: Nodes) -> None:
    bare = Desk(chain, lone, PayManyContract(LANE.address))
    lane = await bare.made("Reentrant")
    desk = await opened(chain, lone, lane)
    await desk.send(_prepare(desk.contract.address, _empty_batch(1)), lane)
    payees = [BatchPayee(lane, ETHER), *await existing(chain, 1)]
    value, data, gas = desk.contract.pay(batch(1), payees, None)
    payload = bytes.fromhex(data[2:])
    act = "0x" + _selector("act(address,bytes)") + padded(desk.contract.address) + padded(64)
    act += padded(len(payload)) + payload.hex().ljust((len(payload) + 31) // 32 * 64, "0")
    receipt = await desk.send(act, lane, value, gas + 200_000)
    assert receipt.ok
    assert desk.failed(receipt, 1, payees) == frozenset()
    assert await lone.call(lane, "0x" + _selector("worked()")) == "0x" + padded(0)
    assert await chain.balance(payees[1].to) == payees[1].units_wei + 1


def _selector(signature: str) -> str:
    return keccak_hex(signature.encode())[2:10]


def _empty_batch(number: int) -> str:
    return "0x" + _selector("payETH(bytes32,uint256[])") + padded(number) + padded(64) + padded(0)


def _prepare(target: str, call: str) -> str:
    payload = bytes.fromhex(call[2:])
    head = "0x" + _selector("prepare(address,bytes)") + padded(target) + padded(64) + padded(len(payload))
    return head + payload.hex().ljust((len(payload) + 31) // 32 * 64, "0")


# Tokens.


@pytest.mark.parametrize("name", ["Coin", "MoodyCoin", "QuietCoin"])
async def test_tokens_are_paid_from_the_lane(desk: Desk, name: str) -> None:
    coin = await desk.coin(name)
    payees = await existing(desk.chain, 5)
    receipt = await desk.pay(1, payees, coin)
    assert desk.failed(receipt, 1, payees) == frozenset()
    for payee in payees:
        assert await desk.units(coin, payee.to) == payee.units_wei
    assert await desk.units(coin, desk.contract.address) == 0
    assert await desk.units(coin, LANE.address) == 10**30 - sum(payee.units_wei for payee in payees)


@pytest.mark.parametrize("mood", [REVERTS, SAYS_NO, BURNS], ids=["reverts", "says no", "burns"])
async def test_a_token_that_will_not_go_to_one_goes_to_the_others(desk: Desk, mood: int) -> None:
    coin = await desk.coin("MoodyCoin")
    payees = await existing(desk.chain, 20)
    await desk.send("0x" + _selector("annoy(address,uint256)") + padded(payees[3].to) + padded(mood), coin)
    receipt = await desk.pay(1, payees, coin)
    assert desk.failed(receipt, 1, payees) == {3}
    assert await desk.units(coin, payees[3].to) == 0
    assert await desk.units(coin, payees[4].to) == payees[4].units_wei
    assert await desk.units(coin, LANE.address) == 10**30 - sum(p.units_wei for p in payees) + payees[3].units_wei


@pytest.mark.parametrize("mood", [MOVES_AND_SAYS_NO, SAYS_YES_AND_STAYS], ids=["moves", "stays"])
async def test_a_token_that_lies_moves_nothing(desk: Desk, mood: int) -> None:
    coin = await desk.coin("MoodyCoin")
    payees = await existing(desk.chain, 3)
    await desk.send("0x" + _selector("annoy(address,uint256)") + padded(payees[0].to) + padded(mood), coin)
    assert not (await desk.pay(1, payees, coin)).ok
    assert await desk.units(coin, LANE.address) == 10**30


async def test_without_leave_or_tokens_nobody_is_to_blame(desk: Desk) -> None:
    coin = await desk.made("Coin", padded(100))
    payees = [BatchPayee(stranger(), 60), BatchPayee(stranger(), 60)]
    assert not (await desk.pay(1, payees[:1], coin)).ok, "not allowed"
    await desk.send("0x095ea7b3" + padded(desk.contract.address) + UNLIMITED, coin)
    assert not (await desk.pay(1, payees, coin)).ok, "short of the token"
    assert (await desk.pay(1, payees[:1], coin)).ok


async def test_what_is_no_token_pays_nobody(desk: Desk) -> None:
    assert not (await desk.pay(1, [BatchPayee(stranger(), 1)], stranger())).ok


# What it costs, and where it runs.


async def test_a_payment_in_a_batch_of_a_hundred_costs_half(desk: Desk) -> None:
    assert (await desk.pay(1, await existing(desk.chain, 100))).gas_used <= 10_500 * 100


@pytest.mark.parametrize(("count", "most"), [(100, 9_300), (150, 9_200)])
async def test_a_token_in_a_batch_costs_little_more_than_a_quarter(desk: Desk, count: int, most: int) -> None:
    payees = await existing(desk.chain, count)
    coin = await desk.coin("Coin")
    await desk.pay(1, payees, coin)
    alone = await desk.send("0xa9059cbb" + padded(payees[0].to) + padded(ETHER // 7), coin)
    each = (await desk.pay(2, payees, coin)).gas_used / count
    assert each <= most
    assert each <= 0.28 * alone.gas_used


@pytest.mark.parametrize("hardfork", ["istanbul", "london", "shanghai", "prague"])
async def test_it_runs_on_old_and_new_chains(hardfork: str, session: aiohttp.ClientSession) -> None:
    """Ethereum Classic lies between London without its fee market and Shanghai without its withdrawals."""
    async with anvil(hardfork=hardfork, mining=False) as chain:
        nodes = Nodes(session, [chain.url], chain.chain_id)
        desk = await opened(chain, nodes)
        payees = await existing(chain, 5)
        await chain.set_code(payees[2].to, LOOPS)
        coin = await desk.coin("Coin")
        assert desk.failed(await desk.pay(1, payees), 1, payees) == {2}
        assert desk.failed(await desk.pay(2, payees, coin), 2, payees) == frozenset()
        await nodes.close()


# Reading and writing.


async def test_a_receipt_of_something_else_is_a_contradiction(desk: Desk) -> None:
    payees = await existing(desk.chain, 3)
    await desk.chain.set_code(payees[1].to, THROWS)
    receipt = await desk.pay(1, payees)
    assert desk.failed(receipt, 1, payees) == {1}
    elsewhere = [replace(log, address=OTHER.address) for log in receipt.logs]
    other_amount = [payees[0], replace(payees[1], units_wei=5), payees[2]]
    for wrong, number, members in (
        (receipt, 2, payees),
        (receipt, 1, payees[:2]),
        (receipt, 1, other_amount),
        (replace(receipt, ok=False), 1, payees),
        (replace(receipt, logs=()), 1, payees),
        (replace(receipt, logs=tuple(elsewhere)), 1, payees),
        (replace(receipt, logs=receipt.logs[1:]), 1, payees),
        (replace(receipt, logs=receipt.logs * 2), 1, payees),
    ):
        with pytest.raises(Contradiction):
            desk.failed(wrong, number, members)


def test_what_does_not_fit_into_a_batch_is_bad_input() -> None:
    contract = PayManyContract(LANE.address)
    with pytest.raises(BadAmount):
        contract.pay(batch(1), [BatchPayee(OTHER.address, MOST_UNITS + 1)], None)
    with pytest.raises(BadAmount):
        contract.pay(batch(1), [], None)
    with pytest.raises(BadAmount):
        contract.pay(batch(1), [BatchPayee(OTHER.address, 1)] * (MOST_PAYEES + 1), None)
    with pytest.raises(BadSettings):
        PayManyContract("0x12")
    value, data, _ = contract.pay(batch(1), [BatchPayee(OTHER.address, MOST_UNITS)], None)
    assert value == MOST_UNITS
    assert data.endswith("f" * 24 + OTHER.address[2:].lower())


async def test_a_contract_that_is_not_this_lanes_is_noticed_at_opening(desk: Desk) -> None:
    await desk.contract.check(desk.nodes, LANE.address)
    with pytest.raises(BadSettings, match="pays for"):
        await desk.contract.check(desk.nodes, OTHER.address)
    with pytest.raises(BadSettings, match="no batch contract"):
        await PayManyContract(OTHER.address).check(desk.nodes, OTHER.address)
    with pytest.raises(BadSettings, match="no batch contract"):
        await PayManyContract(await desk.coin("Coin")).check(desk.nodes, LANE.address)


async def test_an_estimate_of_a_batch_that_cannot_be_is_rejected(desk: Desk) -> None:
    payees = await existing(desk.chain, 2)
    await desk.pay(1, payees)
    value, data, _ = desk.contract.pay(batch(1), payees, None)
    with pytest.raises(Rejected, match="used"):
        await desk.nodes.estimate(LANE.address, desk.contract.address, value, data)
