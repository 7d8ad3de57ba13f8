"""The worlds in which the rail contract is tried: a real rail, its real client, and the simulator that it talks to.

A new gateway joins with one function like `paystack` and one line in `WORLDS`; a rail of another kind with a `World`.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from fnmatch import fnmatchcase
from itertools import count
from typing import Protocol

import aiohttp

from adapters.flutterwave.credentials import ClientToken
from adapters.flutterwave.rail import FlutterwaveV3, FlutterwaveV4
from adapters.http import GatewayClient, HttpLimits, SecretKey
from adapters.paystack.rail import Paystack
from adapters.sandbox.faults import Fault, Kind
from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.gateway import SimulatedGateway
from adapters.sandbox.magic import PAYS
from adapters.sandbox.paystack.simulator import PaystackSimulator
from machines.core.clock import FixedClock
from machines.core.money import NGN, Money
from machines.core.ports import Destination, Evidence, Payment, PaymentKey, Rail

_NUMBERS = count(1)


class Break(Enum):
    """How the answer to a submission is lost. ACCEPTED: it took effect all the same. LOST: it did not."""

    TIMEOUT_ACCEPTED = auto()
    TIMEOUT_LOST = auto()
    ERROR_ACCEPTED = auto()
    ERROR_LOST = auto()
    RESET_ACCEPTED = auto()
    RESET_LOST = auto()
    CUT_ACCEPTED = auto()
    PAGE_ACCEPTED = auto()
    PAGE_LOST = auto()
    GARBLED_ACCEPTED = auto()
    GARBLED_LOST = auto()
    EMPTY_ACCEPTED = auto()
    HUGE_ACCEPTED = auto()
    UNTRUE_ACCEPTED = auto()
    """Success in the first line, an error in the body."""


class Who(Enum):
    """Whom a payment goes to, and so what becomes of it."""

    IS_PAID = auto()
    FAILS = auto()
    IS_REFUSED = auto()
    NEEDS_APPROVAL = auto()
    GIVES_BACK = auto()
    STAYS = auto()
    IS_HIDDEN = auto()
    """Paid, but a look does not find it at first."""
    IS_SLOWED_DOWN = auto()
    """Paid, after the rail asked for patience once."""
    FINDS_US_SHORT = auto()
    """Would be paid if our wallet were not empty."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a world can show. A promise that one cannot put to the test in this form is tested in another, or said."""

    hands_over_at_once: bool = True
    """Whether `submit` itself speaks to the outside: else it writes into our own store, and a worker sends."""
    asks_at_once: bool = True
    """Whether `status` itself asks the outside: else it reads what a worker has learned."""
    hides: bool = True
    """Whether a look may miss at first what is there."""
    gives_back: bool = True
    """Whether money that was paid may come back."""
    asks_for_approval: bool = True
    """Whether somebody at the rail may have to approve what was handed over."""
    waits_for_money: bool = False
    """Whether a payment waits until there is money, and does not fail for want of it."""


class World(Protocol):
    """A rail, and the means to do it harm and to see the truth."""

    @property
    def can(self) -> Abilities:
        """What it can show."""

    @property
    def amounts(self) -> Sequence[str]:
        """Six amounts, from the smallest to the largest that this world pays."""

    @property
    def rail(self) -> Rail:
        """The rail on trial."""

    def payment(self, who: Who = Who.IS_PAID, amount: str = "1322.71") -> Payment:
        """Make a payment that nobody has seen."""

    def other_destination(self, payment: Payment) -> Payment:
        """Give the same payment to somebody else."""

    def break_next(self, how: Break) -> None:
        """Lose the answer to the next submission."""

    def break_looks(self, times: int) -> None:
        """Let looks fail."""

    def shut(self, *, closed: bool) -> None:
        """Let the rail refuse us altogether, or let us in again."""

    async def pass_time(self, seconds: float) -> None:
        """Let time pass in the rail's world."""

    async def paid(self, payment: Payment) -> list[str]:
        """Tell the truth: what reached the destination, each time, in decimals of the payment's asset."""

    async def proves(self, evidence: Evidence, payment: Payment, *, paid: bool = True) -> bool:
        """Say whether evidence speaks of this payment, and shows its outcome to somebody who looks it up."""

    async def until_broken(self) -> None:
        """Wait until what was to be broken has been met."""

    async def until_closed(self) -> None:
        """Wait until a rail that hands over later has found out that it is refused."""

    async def reopened(self) -> None:
        """Let an operator resume what paused by itself."""

    async def fill_wallet(self) -> None:
        """Put money where the rail lacks it."""

    def submissions(self) -> int:
        """Count the requests that could have moved money."""


_KINDS: Mapping[Break, Fault] = {
    Break.TIMEOUT_ACCEPTED: Fault(Kind.SLOW, created=True, delay_s=40),
    Break.TIMEOUT_LOST: Fault(Kind.UNAVAILABLE, delay_s=40),
    Break.ERROR_ACCEPTED: Fault(Kind.UNAVAILABLE, created=True),
    Break.ERROR_LOST: Fault(Kind.UNAVAILABLE),
    Break.RESET_ACCEPTED: Fault(Kind.RESET, created=True),
    Break.RESET_LOST: Fault(Kind.RESET),
    Break.CUT_ACCEPTED: Fault(Kind.CUT, created=True),
    Break.PAGE_ACCEPTED: Fault(Kind.HTML, created=True),
    Break.PAGE_LOST: Fault(Kind.HTML),
    Break.GARBLED_ACCEPTED: Fault(Kind.TRUNCATED, created=True),
    Break.GARBLED_LOST: Fault(Kind.TRUNCATED),
    Break.EMPTY_ACCEPTED: Fault(Kind.EMPTY, created=True),
    Break.HUGE_ACCEPTED: Fault(Kind.HUGE, created=True),
    Break.UNTRUE_ACCEPTED: Fault(Kind.UNTRUE, created=True),
}

_ACCOUNTS: Mapping[Who, str] = {
    Who.IS_PAID: "0123456789",
    Who.FAILS: "0100000002",
    Who.IS_REFUSED: "0100000021",
    Who.NEEDS_APPROVAL: "0100000011",
    Who.GIVES_BACK: "0100000012",
    Who.STAYS: "0100000010",
    Who.IS_HIDDEN: "0100000042",
    Who.IS_SLOWED_DOWN: "0100000040",
    Who.FINDS_US_SHORT: "0100000022",
}


@dataclass
class GatewayWorld:
    """A gateway that is simulated in this process."""

    patient: Rail
    impatient: Rail
    """The same rail with a short time-out, for an answer that will never come."""
    gateway: SimulatedGateway
    clock: FixedClock
    looks: str
    """Which requests are looks, with `*` for what differs."""
    sends: str
    """Which requests may move money, as above."""
    can: Abilities = Abilities()
    amounts: Sequence[str] = ("0.01", "1.00", "1322.71", "0.29", "70368744177.67", "999999999.99")

    @property
    def rail(self) -> Rail:
        return self.impatient if any(fault.delay_s for fault in self.gateway.faults) else self.patient

    def payment(self, who: Who = Who.IS_PAID, amount: str = "1322.71") -> Payment:
        key = PaymentKey(f"payout-03-contract{next(_NUMBERS):08d}-1")
        return Payment(key, bank_account(_ACCOUNTS[who]), Money.parse(amount, NGN), "for work")

    def other_destination(self, payment: Payment) -> Payment:
        return Payment(payment.key, bank_account("0987654321"), payment.amount, payment.note, payment.handle)

    def break_next(self, how: Break) -> None:
        self.gateway.faults.add(_KINDS[how])

    def break_looks(self, times: int) -> None:
        self.gateway.faults.add(Fault(Kind.UNAVAILABLE, where=self.looks, times=times))

    def shut(self, *, closed: bool) -> None:
        self.gateway.transfers.switches.key_revoked = closed

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.gateway.catch_up()

    async def paid(self, payment: Payment) -> list[str]:
        return [f"{entry.amount:.2f}" for entry in self.gateway.book if entry.asked == payment.key]

    async def proves(self, evidence: Evidence, payment: Payment, *, paid: bool = True) -> bool:
        details = dict(evidence.details)
        named = evidence.reference == payment.key
        return named and (
            not paid or bool(Decimal(details["amount"]) == Decimal(payment.amount.decimal) and details["id"])
        )

    async def until_broken(self) -> None:
        """A gateway is met at once."""

    async def until_closed(self) -> None:
        """A gateway is met at once."""

    async def reopened(self) -> None:
        """A gateway opens by itself."""

    async def fill_wallet(self) -> None:
        """A gateway's payment failed: there is nothing to wait for."""

    def submissions(self) -> int:
        return sum(fnmatchcase(line, self.sends) for line in self.gateway.server.calls)


_PATIENT = HttpLimits(reads=2, read_pause_s=0.001)
_IMPATIENT = HttpLimits(send_s=0.1, read_s=0.1, reads=2, read_pause_s=0.001)


def bank_account(number: str) -> Destination:
    """Make a destination."""
    return Destination("bank", (("bank_code", "044"), ("account_number", number), ("account_name", "Ada Bello")))


@asynccontextmanager
async def flutterwave_v3() -> AsyncIterator[GatewayWorld]:
    clock = FixedClock()
    async with FlutterwaveSimulator(clock, PAYS) as gateway, aiohttp.ClientSession() as session:
        key = SecretKey(gateway.keys.secret_key)

        def rail(limits: HttpLimits) -> Rail:
            return FlutterwaveV3(GatewayClient(session, "Flutterwave", gateway.v3_url, key, clock, limits))

        yield GatewayWorld(rail(_PATIENT), rail(_IMPATIENT), gateway, clock, "GET /v3/transfers*", "POST /v3/transfers")


@asynccontextmanager
async def flutterwave_v4() -> AsyncIterator[GatewayWorld]:
    clock = FixedClock()
    async with FlutterwaveSimulator(clock, PAYS) as gateway, aiohttp.ClientSession() as session:
        keys = gateway.keys
        token = ClientToken(session, gateway.token_url, keys.client_id, keys.client_secret, clock, _PATIENT)

        def rail(limits: HttpLimits) -> Rail:
            return FlutterwaveV4(GatewayClient(session, "Flutterwave", gateway.v4_url, token, clock, limits))

        yield GatewayWorld(
            rail(_PATIENT), rail(_IMPATIENT), gateway, clock, "GET /v4/transfers*", "POST /v4/direct-transfers"
        )


@asynccontextmanager
async def paystack() -> AsyncIterator[GatewayWorld]:
    clock = FixedClock()
    async with PaystackSimulator(clock, PAYS) as gateway, aiohttp.ClientSession() as session:

        def rail(limits: HttpLimits) -> Rail:
            return Paystack(GatewayClient(session, "Paystack", gateway.url, SecretKey(gateway.key), clock, limits))

        yield GatewayWorld(rail(_PATIENT), rail(_IMPATIENT), gateway, clock, "GET /transfer/verify/*", "POST /transfer")


@asynccontextmanager
async def ethereum() -> AsyncIterator[World]:
    # Not imported above: a lane needs a store and a chain, which the gateways' worlds do without.
    from tests.contracts.lane_world import lane_world  # noqa: PLC0415

    async with lane_world() as world:
        yield world


WORLDS: Mapping[str, Callable[[], AbstractAsyncContextManager[World]]] = {
    "flutterwave-v3": flutterwave_v3,
    "flutterwave-v4": flutterwave_v4,
    "paystack": paystack,
    "ethereum": ethereum,
}
