"""The machine that is measured: a chain of four looks, each due as soon as the one before is committed.

Its acts do no I/O, so what is measured is Payflow. With a rail the third look pays, as a payout does.
"""

from dataclasses import dataclass, replace

from machines.core.clock import Millis
from machines.core.decision import Decision, move, noted, wait
from machines.core.facts import Fact
from machines.core.lifecycle import By, Lifecycle, Move, Position, RailPosition, State
from machines.core.machine import Machine
from machines.core.ports import Act, Destination, Payment, PaymentKey, Rail, Settled, Step
from machines.core.rail_share import FINE, RailPart, RailShare
from machines.core.record import Record

NAME = "chain"
FIRST, LAST = "REQUESTED", "PAID"
STEPS = 4


@dataclass(frozen=True, slots=True)
class ChainData:
    """What a small payout keeps: where the money goes and what proved it."""

    destination: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Checked(Fact):
    """Nothing speaks against it."""


@dataclass(frozen=True, slots=True)
class Intended(Fact):
    """It is written down that it will leave."""


@dataclass(frozen=True, slots=True)
class Sent(Fact):
    """It was handed over."""

    reference: str


@dataclass(frozen=True, slots=True)
class Proven(Fact):
    """It arrived."""

    evidence: str


_UNDER_WAY, _ARRIVED = RailPosition.IN_FLIGHT, RailPosition.SETTLED
LIFECYCLE = Lifecycle(
    NAME,
    states=[
        State(name=FIRST, means="Asked for.", by=By.POLLER, every_s=60, position=Position.HELD),
        State(name="APPROVED", means="Will be sent.", by=By.POLLER, every_s=60, position=Position.HELD),
        State(
            name="SENDING",
            means="May have left.",
            by=By.POLLER,
            every_s=1,
            position=Position.HELD,
            at_rail=_UNDER_WAY,
            sends=True,
        ),
        State(
            name="SENT",
            means="Has left.",
            by=By.POLLER,
            every_s=1,
            position=Position.HELD,
            at_rail=_UNDER_WAY,
            may_have_left=True,
        ),
        State(
            name=LAST,
            means="Arrived.",
            by=By.NOBODY,
            position=Position.PAID,
            at_rail=_ARRIVED,
            final=True,
        ),
    ],
    moves=[
        Move("approve", (FIRST,), "APPROVED", "nothing speaks against it"),
        Move("intend", ("APPROVED",), "SENDING", "the intent is written down"),
        Move("send", ("SENDING",), "SENT", "the rail has it"),
        Move("complete", ("SENT",), LAST, "proof that it arrived"),
    ],
    initial=FIRST,
)


def react(record: Record[ChainData], fact: Fact, now: Millis) -> Decision[ChainData]:
    """Decide what a fact means to a chain."""
    match record.state, fact:
        case "REQUESTED", Checked():
            return move("approve", "approved by the rules")
        case "APPROVED", Intended():
            return move("intend")
        case "SENDING", Sent():
            return move("send")
        case "SENT", Proven(evidence):
            return move("complete", data=replace(record.data, evidence=evidence))
        case "SENDING" | "SENT", _:
            return wait(0)
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")


def chain(rail: Rail | None = None) -> Machine[ChainData]:
    """Make the machine; with a rail, it pays."""
    return Machine(lifecycle=LIFECYCLE, data=ChainData, react=react, acts=_acts(rail), rail_share=rail_share)


def rail_share(record: Record[ChainData]) -> RailShare | None:
    """Say what is under way, or arrived."""
    place = LIFECYCLE.state(record.state).at_rail
    if place is None or record.amount is None:
        return None
    part = RailPart.IN_FLIGHT if place is RailPosition.IN_FLIGHT else RailPart.SETTLED
    return RailShare("bench", record.amount.asset.code, {part: record.amount.units * FINE})


def _acts(rail: Rail | None) -> dict[str, Act[ChainData]]:
    async def check(record: Record[ChainData], step: Step) -> Fact:
        return Checked()

    async def intend(record: Record[ChainData], step: Step) -> Fact:
        return Intended()

    async def send(record: Record[ChainData], step: Step) -> Fact:
        if rail is not None:
            await _pay_once(rail, record, step)
        return Sent(record.id)

    async def prove(record: Record[ChainData], step: Step) -> Fact:
        return Proven(f"receipt of {record.id}")

    return {FIRST: check, "APPROVED": intend, "SENDING": send, "SENT": prove}


async def _pay_once(rail: Rail, record: Record[ChainData], step: Step) -> None:
    """Ask first: whoever had the record before may have paid and died."""
    assert record.amount is not None
    payment = Payment(PaymentKey(record.id), Destination("bench", ()), record.amount)
    if not isinstance(await rail.status(payment), Settled):
        await step.may_send("rail:bench")
        await rail.submit(payment)
