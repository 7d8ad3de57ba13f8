"""Payments over a chain with one-second blocks: one after the other as people do it, our lane, our lane with batches.

All sides pay on the same anvil in the same run. A payment counts when it is settled in our books (depth 1), the
sequential way when its receipt is there.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account as EthAccount
from web3 import AsyncHTTPProvider, AsyncWeb3

from adapters.addresses import checksummed
from adapters.ethereum.endpoint import NodeLimits
from adapters.ethereum.pay_many import PayManyContract
from machines.core.chain import Address
from machines.core.ports import Payment, Settled
from machines.transaction import lifecycle as s
from machines.transaction.ports import LaneToken
from payflow.config import PollerSettings, load
from tests.adapters.ethereum.test_pay_many import bytecode
from tests.bench.table import TIMES, Row
from tests.chain import LANE, OTHER, Anvil, anvil, deploy_data, stranger
from tests.chainproxy import ChainProxy, Kind
from tests.lanes import USD, Station, open_station, outside
from tests.waiting import wait_until

BLOCK_S = 1
UNHURRIED = NodeLimits()
EAGER = {f"transaction.{state}": PollerSettings(concurrency=256) for state in (s.SIGNED, s.SENT, s.MINED)}


@dataclass(frozen=True, slots=True)
class Paid:
    """What a run of payments took."""

    seconds: float
    cpu_s: float
    gas: int
    count: int

    @property
    def each_second(self) -> float:
        """Payments a second."""
        return self.count / self.seconds

    @property
    def gas_each(self) -> float:
        """Gas for one payment."""
        return self.gas / self.count


async def measure(*, quick: bool) -> list[Row]:
    """Pay in each way."""
    many = 1_000 if quick else 5_000
    async with anvil(block_time_s=BLOCK_S, options=("--gas-limit", "300000000", "--order", "fifo")) as chain:
        old_way = await _one_by_one(chain, 5 if quick else 20)
        contract = await _contract(chain)
        coin = await _deployed(chain, f"{bytecode('Coin')}{2**90:064x}")
        tokens = {USD.code: LaneToken(coin, 6)}
        async with _station(chain) as station:
            plain = await _pay(station, [station.payment(f"plain-{n}") for n in range(many)])
        async with _station(chain, contract) as station:
            old = [station.payment(f"old-{n}", to) for n, to in enumerate(await _existing(chain, many))]
            batched = await _pay(station, old)
            new = await _pay(station, [station.payment(f"new-{n}") for n in range(100)])
        holders = [stranger() for _ in range(150)]
        async with _station(chain, tokens=tokens) as station:
            await _pay(station, [station.payment(f"first-{n}", to, asset=USD) for n, to in enumerate(holders)])
            coins_plain = await _pay(
                station, [station.payment(f"c-{n}", to, asset=USD) for n, to in enumerate(holders)]
            )
        async with _station(chain, contract, tokens) as station:
            await _pay(station, [station.payment(f"open-{n}", holders[n], asset=USD) for n in range(3)])
            coins = await _pay(station, [station.payment(f"cs-{n}", to, asset=USD) for n, to in enumerate(holders)])
        resolved = await _resolve(chain)
    heal = await _heal()
    return [*_speed(old_way, plain, batched), *_gas(plain, batched, new, coins_plain, coins), *_trouble(heal, resolved)]


def _speed(old_way: Paid, plain: Paid, batched: Paid) -> list[Row]:
    return [_faster("plain", plain, old_way, 300, 3), _faster("batches", batched, old_way, 800, 0.5)]


def _faster(way: str, paid: Paid, old_way: Paid, times: int, cpu_ms: float) -> Row:
    return Row(
        what=f"payments a minute, {BLOCK_S}-second blocks, {way}",
        figure=paid.each_second * 60,
        unit="/min",
        target=f"≥ {times} {TIMES} one by one",
        meets=paid.each_second >= times * old_way.each_second,
        beside="send, wait for the receipt, next (web3)",
        other=old_way.each_second * 60,
        note=f"{paid.count} payments; {paid.cpu_s / paid.count * 1000:.2f} ms of CPU each (target ≤ {cpu_ms:g})",
    )


def _gas(plain: Paid, batched: Paid, new: Paid, coins_plain: Paid, coins: Paid) -> list[Row]:
    return [
        Row(
            what="gas a payment, ETH to accounts that exist, batches",
            figure=batched.gas_each,
            unit="gas",
            target="≤ 10,500",
            meets=batched.gas_each <= 10_500,
            beside="plain transfers",
            other=plain.gas_each,
        ),
        Row(
            what="gas a payment, ETH to new accounts, lane with batches",
            figure=new.gas_each,
            unit="gas",
            target="never dearer than singles",
            meets=new.gas_each <= plain.gas_each,
            beside="plain transfers",
            other=plain.gas_each,
        ),
        Row(
            what="gas a payment, ERC-20 to accounts that hold some, batches",
            figure=coins.gas_each,
            unit="gas",
            target="≤ 9,200",
            meets=coins.gas_each <= 9_200,
            beside="plain transfers",
            other=coins_plain.gas_each,
        ),
    ]


def _trouble(heal: int, resolved_s: float) -> list[Row]:
    return [
        Row(
            what="a nonce gap is healed after",
            figure=heal,
            unit="blocks",
            target="≤ 2 blocks after it is seen",
            meets=heal <= 2,
        ),
        Row(
            what="a send whose answer was lost is known after",
            figure=resolved_s,
            unit="s",
            target="one block and one look",
            meets=resolved_s <= 2 * BLOCK_S + 2,
        ),
    ]


# ── ways to pay ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def _one_by_one(chain: Anvil, count: int) -> Paid:
    """Pay as most scripts do."""
    web3 = AsyncWeb3(AsyncHTTPProvider(chain.url))
    account = EthAccount.from_key(OTHER.key)
    began, cpu, gas = time.perf_counter(), time.process_time(), 0
    for _ in range(count):
        fields = {
            "to": stranger(),
            "value": 10**15,
            "gas": 21_000,
            "gasPrice": await web3.eth.gas_price,
            "nonce": await web3.eth.get_transaction_count(account.address),
            "chainId": await web3.eth.chain_id,
        }
        tx = await web3.eth.send_raw_transaction(account.sign_transaction(fields).raw_transaction)
        receipt = await web3.eth.wait_for_transaction_receipt(tx)
        gas += receipt["gasUsed"]
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    await web3.provider.disconnect()
    return Paid(seconds, cpu_s, gas, count)


async def _pay(station: Station, payments: Sequence[Payment]) -> Paid:
    """Hand all to the rail, and wait until all are settled."""
    first, before = await station.chain.nonce(LANE.address), await _settled(station)
    began, cpu = time.perf_counter(), time.process_time()
    async with station.worker():
        for place in range(0, len(payments), 500):
            await station.pay(*payments[place : place + 500])
        wanted = before + len(payments)

        async def done() -> bool:
            return await _settled(station) >= wanted

        await wait_until(done, description=f"{wanted} payments are settled", limit_s=300)
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    assert isinstance(await station.status(payments[-1]), Settled)
    gas = 0
    for nonce in range(first, await station.chain.nonce(LANE.address)):
        hash_ = (await station.transaction(nonce)).data.hash
        receipt = await station.chain.rpc("eth_getTransactionReceipt", hash_)
        gas += int(receipt["gasUsed"], 16)
    return Paid(seconds, cpu_s, gas, len(payments))


async def _settled(station: Station) -> int:
    crowds = await station.store.listing.counts_by_state()
    return next(crowd.count for crowd in crowds if (crowd.machine, crowd.state) == ("payment", s.SETTLED))


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────────────────────────


async def _heal() -> int:
    """Count the blocks from the look that sees a nonce which nobody holds to the payment behind it being mined."""
    async with anvil(mining=False, slots_in_an_epoch=1) as chain, _station(chain) as station:
        await station.lanes.books.ensure(station.lane)
        async with station.worker():
            await station.until_next_nonce(0)
            await outside(chain, nonce=0, to=stranger(), wei=1)
            await chain.mine(4)
            await station.poke()
            await station.until_next_nonce(1)
            behind = station.payment("heal")
            await station.pay(behind)
            await station.until_nonce(1, s.SENT)
            await chain.reorg(4)
            station.set_policy(rebroadcast_s=0.1)
            blocks = 0
            while (await station.record(behind)).state != s.SETTLED:
                await station.settle_down()
                await chain.mine(1)
                blocks += 1
                await station.settle_down()
    return blocks


async def _resolve(chain: Anvil) -> float:
    """Time a payment whose broadcast was taken by the node, with the answer lost."""
    async with (
        ChainProxy(chain.url) as proxy,
        _station(chain, urls=[proxy.url], limits=NodeLimits(exchange_s=1)) as station,
    ):
        proxy.fail(Kind.RESET_AFTER, "eth_sendRawTransaction")
        payment = station.payment("lost")
        async with station.worker():
            began = time.perf_counter()
            await station.pay(payment)
            await station.until(payment, s.SETTLED)
            return time.perf_counter() - began


# ── the ground ───────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _station(
    chain: Anvil,
    contract: PayManyContract | None = None,
    tokens: Mapping[str, LaneToken] | None = None,
    urls: Sequence[str] = (),
    limits: NodeLimits = UNHURRIED,
) -> AsyncIterator[Station]:
    """Open the lane on a store of its own, fsync always."""
    with tempfile.TemporaryDirectory(prefix="payflow-bench-chain-") as folder:
        settings = load({}, data=Path(folder) / "data", pollers=EAGER)
        opened = open_station(settings, chain, urls=urls, pay_many=contract, tokens=tokens, limits=limits)
        async with opened as station:
            station.set_policy(in_flight=4096, at_once=200, depth=1, batch_size=150)
            yield station


async def _contract(chain: Anvil) -> PayManyContract:
    return PayManyContract(await _deployed(chain, deploy_data(LANE.address)))


async def _deployed(chain: Anvil, data: str) -> Address:
    tx = await chain.rpc("eth_sendTransaction", {"from": LANE.address, "data": data})

    async def mined() -> bool:
        return await chain.rpc("eth_getTransactionReceipt", tx) is not None

    await wait_until(mined, description="a contract is made")
    return checksummed((await chain.rpc("eth_getTransactionReceipt", tx))["contractAddress"])


async def _existing(chain: Anvil, count: int) -> list[Address]:
    addresses = [stranger() for _ in range(count)]
    await asyncio.gather(*(chain.set_balance(address, 1) for address in addresses))
    return addresses
