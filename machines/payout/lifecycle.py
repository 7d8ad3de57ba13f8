"""Everything a payout can be and do is in this table; nothing else decides."""

from machines.core.clock import DAY_S, HOUR_S, MINUTE_S
from machines.core.lifecycle import By, Lifecycle, Move, Position, RailPosition, State

REQUESTED = "REQUESTED"
APPROVED = "APPROVED"
PROCESSING = "PROCESSING"
UNCONFIRMED = "UNCONFIRMED"
FAILED = "FAILED"
COMPLETED = "COMPLETED"
REVERSED = "REVERSED"
REJECTED = "REJECTED"
CANCELLED = "CANCELLED"
CONTRADICTED = "CONTRADICTED"

_AVAILABLE, _HELD, _PAID = Position.AVAILABLE, Position.HELD, Position.PAID
_IN_FLIGHT, _SETTLED = RailPosition.IN_FLIGHT, RailPosition.SETTLED

# fmt: off
STATES = (
    State(name=REQUESTED, means="Asked for; the gateway says whose account it is, rules look at it, and people where they found something.",
          by=By.POLLER, every_s=DAY_S, stuck_after_s=DAY_S, position=_HELD, public="requested"),
    State(name=APPROVED, means="Will be paid when the next batch opens.",
          by=By.POLLER, every_s=10 * MINUTE_S, stuck_after_s=6 * HOUR_S, position=_HELD, cleared=True, public="approved"),
    State(name=PROCESSING, means="Handed to the rail, or about to be.",
          by=By.POLLER, every_s=30, stuck_after_s=2 * HOUR_S, position=_HELD, at_rail=_IN_FLIGHT, sends=True, public="processing"),
    State(name=UNCONFIRMED, means="It may have left; it is being looked for.",
          by=By.POLLER, every_s=30, stuck_after_s=30 * MINUTE_S, position=_HELD, at_rail=_IN_FLIGHT, may_have_left=True, cleared=True, public="processing"),
    State(name=FAILED, means="Proven not paid; tried again by itself a few times, then a person decides.",
          by=By.POLLER, every_s=6 * HOUR_S, stuck_after_s=DAY_S, position=_HELD, may_have_left=True, cleared=True, public="failed"),
    State(name=COMPLETED, means="Paid, with proof; watched for some days, because a bank may send it back.",
          by=By.POLLER, every_s=6 * HOUR_S, position=_PAID, at_rail=_SETTLED, may_have_left=True, final=True, public="paid"),
    State(name=REVERSED, means="Paid, and came back; the provider has it available again.",
          by=By.POLLER, every_s=6 * HOUR_S, position=_AVAILABLE, may_have_left=True, final=True, public="returned"),
    State(name=REJECTED, means="A reviewer said no, or there is no such account; watched as CANCELLED is.",
          by=By.POLLER, every_s=6 * HOUR_S, position=_AVAILABLE, may_have_left=True, final=True, public="rejected"),
    State(name=CANCELLED, means="Given back unpaid; watched for some days if anything was ever sent.",
          by=By.POLLER, every_s=6 * HOUR_S, position=_AVAILABLE, may_have_left=True, final=True, public="cancelled"),
    State(name=CONTRADICTED, means="Paid after it was given back: the provider may owe it.",
          by=By.POLLER, every_s=6 * HOUR_S, position=_PAID, at_rail=_SETTLED, may_have_left=True, final=True, public="paid"),
)

MOVES = (
    #    trigger        from                                            to            because
    Move("approve",     (REQUESTED,),                                   APPROVED,     "low risk, or enough reviewers said yes"),
    Move("doubt",       (PROCESSING,),                                  REQUESTED,    "whoever said yes may not any more, and nothing of it left: others must"),
    Move("reject",      (REQUESTED,),                                   REJECTED,     "a reviewer said no, or the gateway: it can never be paid so"),
    Move("cancel",      (REQUESTED, APPROVED, PROCESSING),              CANCELLED,    "it is not wanted any more, and nothing of it left or is paid"),
    Move("process",     (APPROVED,),                                    PROCESSING,   "its batch opened"),
    Move("defer",       (PROCESSING, UNCONFIRMED),                      APPROVED,     "the rail does not pay it now, such as for want of money: it did nothing wrong"),
    Move("complete",    (APPROVED, PROCESSING, UNCONFIRMED, FAILED),    COMPLETED,    "the rail proves that it was paid"),
    Move("fail",        (PROCESSING, UNCONFIRMED),                      FAILED,       "the rail proves that it was not paid"),
    Move("lose_sight",  (PROCESSING,),                                  UNCONFIRMED,  "a send's outcome is unknown"),
    Move("find",        (UNCONFIRMED,),                                 PROCESSING,   "the rail has it, or surely never got it"),
    Move("retry",       (FAILED,),                                      PROCESSING,   "every earlier attempt is proven unpaid: one more"),
    Move("release",     (FAILED,),                                      CANCELLED,    "proven unpaid, and a person gives the money back"),
    Move("reverse",     (COMPLETED, CONTRADICTED),                      REVERSED,     "the rail sent it back after it was paid"),
    Move("contradict",  (CANCELLED, REVERSED, REJECTED),                CONTRADICTED, "the rail proves that it was paid after all"),
)
# fmt: on

LIFECYCLE = Lifecycle("payout", states=STATES, moves=MOVES, initial=REQUESTED)
