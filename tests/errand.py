"""A sample machine for tests: an errand that costs money, goes out through a rail, and comes back done or not."""

from dataclasses import dataclass, replace

from machines.core.clock import Millis
from machines.core.decision import Decision, Message, contradiction, keep, move, noted, wait
from machines.core.facts import Fact, LostSight, Nothing, Override, Refused, override
from machines.core.lifecycle import By, Lifecycle, Move, Position, RailPosition, State
from machines.core.machine import Machine, RetryPolicy
from machines.core.ports import Act, Destination, Payment, PaymentKey, Rail, Settled, Step, Unsent
from machines.core.ports import Failed as RailFailed
from machines.core.rail_share import FINE, RailPart, RailShare
from machines.core.record import Record, Sending


@dataclass(frozen=True, slots=True)
class ErrandData:
    """What an errand keeps."""

    note: str = ""
    evidence: str = ""
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Approved(Fact):
    """Somebody wants it done."""

    by: str = "auto"


@dataclass(frozen=True, slots=True)
class Cancelled(Fact):
    """Somebody does not want it any more."""

    by: str = "owner"


@dataclass(frozen=True, slots=True)
class Sent(Fact):
    """It was handed over."""


@dataclass(frozen=True, slots=True)
class Done(Fact):
    """It is proven done."""

    evidence: str


@dataclass(frozen=True, slots=True)
class NotDone(Fact):
    """It is proven not done."""

    reason: str


_UNDER_WAY, _ARRIVED = RailPosition.IN_FLIGHT, RailPosition.SETTLED
LIFECYCLE = Lifecycle(
    "errand",
    states=[
        State(name="ASKED", means="Asked for.", by=By.POLLER, every_s=60, position=Position.HELD),
        State(name="READY", means="Will be sent.", by=By.POLLER, every_s=60, position=Position.HELD, stuck_after_s=60),
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
            name="DONE",
            means="Done.",
            by=By.NOBODY,
            position=Position.PAID,
            at_rail=_ARRIVED,
            final=True,
        ),
        State(name="FAILED", means="Not done; a person decides.", by=By.PERSON, position=Position.HELD),
        State(name="CANCELLED", means="Given back.", by=By.NOBODY, position=Position.AVAILABLE, final=True),
        State(
            name="CONTRADICTED",
            means="Done after all.",
            by=By.NOBODY,
            position=Position.PAID,
            at_rail=_ARRIVED,
            final=True,
        ),
    ],
    moves=[
        Move("approve", ("ASKED",), "READY", "somebody wants it"),
        Move("send", ("READY",), "SENDING", "the intent is written down"),
        Move("finish", ("SENDING",), "DONE", "proof that it was done"),
        Move("fail", ("SENDING",), "FAILED", "proof that it was not done"),
        Move("retry", ("FAILED",), "READY", "a person says again"),
        Move("cancel", ("ASKED", "READY", "FAILED"), "CANCELLED", "nobody wants it any more"),
        Move("contradict", ("CANCELLED",), "CONTRADICTED", "it was done after it was given back"),
    ],
    initial="ASKED",
)


def react(record: Record[ErrandData], fact: Fact, now: Millis) -> Decision[ErrandData]:
    """Decide what a fact means to an errand."""
    match record.state, fact:
        case _, Override():
            return override(LIFECYCLE, record, fact)
        case _, Nothing():
            return wait()
        case "ASKED", Approved(by):
            return move("approve", f"approved by {by}")
        case "ASKED" | "READY" | "FAILED", Cancelled(by):
            return move("cancel", f"cancelled by {by}")
        case "FAILED", Approved(by):
            return move("retry", f"again, says {by}")
        case "READY", Sent():
            return move("send")
        case "SENDING", Sent():
            return wait(0)
        case "SENDING", Done(evidence):
            return move(
                "finish",
                data=replace(record.data, evidence=evidence),
                messages=(Message("told", {"to": record.owner}),),
            )
        case "SENDING", Refused(reason) if record.data.asked or record.sending is Sending.LOST:
            return keep(f"refused, which proves nothing of the send before it: {reason}")
        case "SENDING", NotDone(reason) | Refused(reason):
            return move("fail", reason)
        case "SENDING", LostSight(reason):
            return keep(f"lost sight: {reason}", data=replace(record.data, asked=record.data.asked + 1))
        case "CANCELLED", Done(evidence):
            return move(
                "contradict",
                "done after it was given back",
                data=replace(record.data, evidence=evidence),
                alarm="done after it was given back",
            )
        case "DONE" | "CONTRADICTED", NotDone(reason):
            return contradiction(f"not done, says the rail: {reason}")
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")


def acts(rail: Rail) -> dict[str, Act[ErrandData]]:
    """Bind the looks to a rail."""

    async def approve(record: Record[ErrandData], step: Step) -> Fact:
        return Approved()

    async def intend(record: Record[ErrandData], step: Step) -> Fact:
        return Sent()

    async def pursue(record: Record[ErrandData], step: Step) -> Fact:
        assert record.amount is not None
        payment = Payment(PaymentKey(record.id), Destination("test", ()), record.amount)
        match await rail.status(payment):
            case Settled(evidence):
                return Done(evidence.reference)
            case RailFailed(reason):
                return NotDone(reason)
            case Unsent():
                await step.may_send("rail:test")
                await rail.submit(payment)
                return Sent()
            case _:
                return Nothing()

    return {"ASKED": approve, "READY": intend, "SENDING": pursue}


def errand(rail: Rail) -> Machine[ErrandData]:
    """Make the machine."""
    return Machine(
        lifecycle=LIFECYCLE,
        data=ErrandData,
        react=react,
        acts=acts(rail),
        retry=RetryPolicy(base_s=0.05, cap_s=1),
        retried=Approved,
        rail_share=rail_share,
    )


def rail_share(record: Record[ErrandData]) -> RailShare | None:
    """Say what is under way, or done, at the one rail."""
    place = LIFECYCLE.state(record.state).at_rail
    if place is None or record.amount is None:
        return None
    part = RailPart.IN_FLIGHT if place is RailPosition.IN_FLIGHT else RailPart.SETTLED
    return RailShare("test", record.amount.asset.code, {part: record.amount.units * FINE})
