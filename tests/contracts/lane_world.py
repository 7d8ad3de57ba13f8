"""The world of a lane: a real chain behind a node with faults, a real store, and looks taken one by one.

Nothing leaves in `submit`: it writes into our own store, and what is done to a submission elsewhere is done here to the
bytes that a look sends. Time passes as blocks, and as looks at all that is due.
"""

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from adapters.ethereum.endpoint import NodeLimits
from machines.core.clock import FixedClock
from machines.core.money import ETH, Money
from machines.core.ports import Destination, Evidence, Payment, PaymentKey, Rail
from machines.transaction import lifecycle as s
from payflow.config import load
from tests.chain import ETHER, GWEI, LANE, Anvil, anvil, stranger
from tests.chainproxy import FOR_EVER, ChainProxy, Kind
from tests.contracts.worlds import Abilities, Break, Who
from tests.lanes import QUICK, Station, open_station

SEND = "eth_sendRawTransaction"
THROWS = "0x60006000fd"
MISTYPED = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"
RICH_WEI = 2 * 10**9 * ETHER
HUGE_BYTES = 33 * 1024 * 1024
ROUNDS = 3

LANE_CAN = Abilities(
    hands_over_at_once=False,
    asks_at_once=False,
    hides=False,
    gives_back=False,
    asks_for_approval=False,
    waits_for_money=True,
)
_NUMBERS = count(1)
_KINDS: Mapping[Break, Kind] = {
    Break.TIMEOUT_ACCEPTED: Kind.TIMEOUT_AFTER,
    Break.TIMEOUT_LOST: Kind.TIMEOUT_BEFORE,
    Break.ERROR_ACCEPTED: Kind.HTML_502_AFTER,
    Break.ERROR_LOST: Kind.HTML_502,
    Break.RESET_ACCEPTED: Kind.RESET_AFTER,
    Break.RESET_LOST: Kind.RESET_BEFORE,
    Break.CUT_ACCEPTED: Kind.TRUNCATED,
    Break.PAGE_ACCEPTED: Kind.HTML_502_AFTER,
    Break.PAGE_LOST: Kind.HTML_502,
    Break.GARBLED_ACCEPTED: Kind.TRUNCATED,
    Break.GARBLED_LOST: Kind.NULL,
    Break.EMPTY_ACCEPTED: Kind.RESET_AFTER,
    Break.HUGE_ACCEPTED: Kind.HUGE,
    Break.UNTRUE_ACCEPTED: Kind.ERROR_AFTER,
}


@dataclass
class LaneWorld:
    """A lane on a chain of our own."""

    station: Station
    chain: Anvil
    proxy: ChainProxy
    clock: FixedClock
    can: Abilities = LANE_CAN
    amounts: Sequence[str] = ("0.000000001", "1.00", "1322.71", "0.29", "70368744.177670001", "999999999.99")
    _throwers: list[str] = field(default_factory=list)
    _balance_wei: int = RICH_WEI

    @property
    def rail(self) -> Rail:
        return self.station.rail

    def payment(self, who: Who = Who.IS_PAID, amount: str = "1322.71") -> Payment:
        to: str = stranger()
        match who:
            case Who.FAILS:
                self._throwers.append(to)
            case Who.IS_REFUSED:
                to = MISTYPED
            case Who.STAYS:
                self.proxy.fail(Kind.DROPPED, SEND, FOR_EVER)
            case Who.IS_SLOWED_DOWN:
                self.proxy.fail(Kind.TOO_MANY, SEND, retry_after_s=3)
            case Who.FINDS_US_SHORT:
                self._balance_wei = ETHER
            case _:
                pass
        key = PaymentKey(f"payout-03-contract{next(_NUMBERS):08d}-1")
        return Payment(key, Destination("ethereum", (("address", to),)), Money.parse(amount, ETH), "for work")

    def other_destination(self, payment: Payment) -> Payment:
        return replace(payment, to=Destination("ethereum", (("address", stranger()),)))

    def break_next(self, how: Break) -> None:
        self.proxy.fail(_KINDS[how], SEND, size=HUGE_BYTES)

    def break_looks(self, times: int) -> None:
        self.proxy.fail(Kind.HTML_502, "eth_getTransactionReceipt", times)

    def shut(self, *, closed: bool) -> None:
        self.proxy.chain_id = 1 if closed else None

    async def pass_time(self, seconds: float) -> None:
        await self.chain.set_balance(LANE.address, self._balance_wei)
        for thrower in self._throwers:
            await self.chain.set_code(thrower, THROWS)
        self.clock.advance(seconds)
        for _ in range(ROUNDS):
            await self._look()
            await self.chain.mine(2)
        await self._look()

    async def _look(self) -> None:
        """Look at all that is in the lane, whatever it waits for."""
        for machine, state in (("lane", s.OPEN), *(("transaction", one) for one in (s.SIGNED, s.SENT, s.MINED))):
            await self.station.poke()
            await self.station.look_once(machine, state)

    async def until_broken(self) -> None:
        for _ in range(ROUNDS):
            await self._look()
            if self.proxy.spent:
                return
        raise AssertionError("what was to be broken was never met")

    async def until_closed(self) -> None:
        await self._look()
        assert "rail:ethereum" in await self.station.store.pauses.all()

    async def reopened(self) -> None:
        self.clock.advance(60)  # a node that failed rests first
        await self.station.resume()

    async def fill_wallet(self) -> None:
        self._balance_wei += RICH_WEI

    async def paid(self, payment: Payment) -> list[str]:
        """Read it off the chain: every transaction that brought the recipient something."""
        to = payment.to["address"]
        found = [
            int(tx["value"], 16)
            for tx in await self._transactions()
            if (tx["to"] or "").lower() == to.lower() and (await self._receipt(tx["hash"]))["status"] == "0x1"
        ]
        assert sum(found) == await self.chain.balance(to), "it came some other way"
        assert all(wei % GWEI == 0 for wei in found)
        return [Money(wei // GWEI, ETH).decimal for wei in found]

    async def proves(self, evidence: Evidence, payment: Payment, *, paid: bool = True) -> bool:
        tx = await self.chain.rpc("eth_getTransactionByHash", evidence.reference)
        receipt, details = await self._receipt(evidence.reference), dict(evidence.details)
        same = tx["to"].lower() == payment.to["address"].lower() and int(tx["value"], 16) == payment.amount.units * GWEI
        told = details["block_hash"] == receipt["blockHash"] and int(details["nonce"]) == int(tx["nonce"], 16)
        return bool(same and told and (receipt["status"] == "0x1") is paid)

    def submissions(self) -> int:
        """Count what could have moved money: the same bytes once, however often they were handed over."""
        return len({params[0] for method, params in self.proxy.calls if method == SEND})

    async def _transactions(self) -> list[dict[str, Any]]:
        heights = range(await self.chain.height() + 1)
        blocks = [await self.chain.rpc("eth_getBlockByNumber", hex(at), True) for at in heights]  # noqa: FBT003
        return [tx for block in blocks for tx in block["transactions"]]

    async def _receipt(self, tx: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.chain.rpc("eth_getTransactionReceipt", tx)
        return found


@asynccontextmanager
async def lane_world() -> AsyncIterator[LaneWorld]:
    """Open it; its payments cost a fixed amount of gas, so that a recipient that throws is found out on the chain."""
    policy = replace(QUICK, rebroadcast_s=1, bump_after_s=100_000, gas_limit=60_000)
    limits = NodeLimits(exchange_s=0.5, rest_s=0.1, pause_s=0.001)
    clock = FixedClock()
    with tempfile.TemporaryDirectory(prefix="pf-") as folder:
        settings = load({"PAYFLOW_DATA": str(Path(folder))})
        async with (
            anvil(mining=False, slots_in_an_epoch=1) as chain,
            ChainProxy(chain.url) as proxy,
            open_station(settings, chain, urls=[proxy.url], policy=policy, clock=clock, limits=limits) as station,
        ):
            yield LaneWorld(station, chain, proxy, clock)
