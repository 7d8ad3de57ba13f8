"""Everything a lane, a payment in it and a transaction of it can be and do is in these tables; nothing else decides."""

from machines.core.clock import HOUR_S, MINUTE_S
from machines.core.lifecycle import By, Lifecycle, Move, RailPosition, State

OPEN = "OPEN"
HALTED = "HALTED"

QUEUED = "QUEUED"
SENDING = "SENDING"
SETTLED = "SETTLED"
SHORT = "SHORT"
FAILED = "FAILED"

SIGNED = "SIGNED"
SENT = "SENT"
MINED = "MINED"
FINAL = "FINAL"
REVERTED = "REVERTED"
DISPLACED = "DISPLACED"

_IN_FLIGHT, _SETTLED = RailPosition.IN_FLIGHT, RailPosition.SETTLED

# fmt: off
LANE = Lifecycle(
    "lane",
    states=(
        State(name=OPEN,   means="Signs what is queued, one nonce after the other.", by=By.POLLER, every_s=5, cleared=True),
        State(name=HALTED, means="Somebody else sent from its address what may have paid a payment of ours; a person decides.",
              by=By.PERSON, stuck_after_s=MINUTE_S),
    ),
    moves=(
        #    trigger   from        to        because
        Move("halt",   (OPEN,),    HALTED,   "a transaction that is not ours may have paid what we have not paid yet"),
        Move("adopt",  (HALTED,),  OPEN,     "a person has said what that transaction was"),
    ),
    initial=OPEN,
)

PAYMENT = Lifecycle(
    "payment",
    states=(
        State(name=QUEUED,  means="Waits until the lane signs for it.", by=By.OUTSIDE, stuck_after_s=HOUR_S, cleared=True),
        State(name=SENDING, means="Part of a signed transaction.", by=By.OUTSIDE, at_rail=_IN_FLIGHT, stuck_after_s=HOUR_S, may_have_left=True, cleared=True),
        State(name=SETTLED, means="Paid, deep enough in the chain.", by=By.NOBODY, at_rail=_SETTLED, final=True, may_have_left=True),
        State(name=SHORT,   means="Less came to the payee than was sent; a person decides.", by=By.PERSON, at_rail=_SETTLED, stuck_after_s=MINUTE_S, may_have_left=True),
        State(name=FAILED,  means="Proven not paid.", by=By.NOBODY, final=True),
    ),
    moves=(
        #    trigger       from                to        because
        Move("sign",       (QUEUED,),          SENDING,  "it is part of a transaction that is signed now"),
        Move("settle",     (SENDING,),         SETTLED,  "its transaction is final and paid it"),
        Move("fall_short", (SENDING,),         SHORT,    "its transaction is final, and its token kept a part"),
        Move("recognize",  (QUEUED,),          SETTLED,  "a transaction from outside paid it, says a person"),
        Move("fail",       (QUEUED, SENDING),  FAILED,   "it can never be paid as it is, or nobody wants it any more"),
        Move("requeue",    (SENDING,),         QUEUED,   "its transaction was reverted or displaced for good"),
        Move("reverse",    (SETTLED, SHORT),   SENDING,  "the chain took back the block that paid it"),
        Move("contradict", (FAILED,),          SETTLED,  "the chain paid it after all"),
    ),
    initial=QUEUED,
)

TRANSACTION = Lifecycle(
    "transaction",
    states=(
        State(name=SIGNED,    means="Its bytes are written down and go out now.", by=By.POLLER, every_s=2, stuck_after_s=10 * MINUTE_S, sends=True),
        State(name=SENT,      means="Waits to be mined.", by=By.POLLER, every_s=2, stuck_after_s=HOUR_S, sends=True),
        State(name=MINED,     means="In a block, not yet deep enough.", by=By.POLLER, every_s=2, stuck_after_s=HOUR_S, may_have_left=True),
        State(name=FINAL,     means="Done, deep enough; watched while the chain could still forget it.", by=By.POLLER, at_rail=_SETTLED, every_s=60, may_have_left=True, final=True),
        State(name=REVERTED,  means="Mined deep enough, and did nothing; watched while the chain could still forget it.", by=By.POLLER, at_rail=_SETTLED, every_s=60, may_have_left=True, final=True),
        State(name=DISPLACED, means="Another transaction took its nonce; watched while the chain could still forget that.", by=By.POLLER, at_rail=_SETTLED, every_s=60, final=True),
    ),
    moves=(
        #    trigger    from             to          because
        Move("send",     (SIGNED,),          SENT,       "its bytes went to the nodes, or may have"),
        Move("mine",     (SIGNED, SENT),     MINED,      "one of its attempts is in a block"),
        Move("bump",     (SENT,),            SIGNED,     "it needs a better price, or is to be replaced by nothing"),
        Move("reorg",    (MINED,),           SENT,       "the chain dropped the block that carried it"),
        Move("finalize", (MINED,),           FINAL,      "deep enough, and successful"),
        Move("revert",   (MINED,),           REVERTED,   "deep enough, and failed"),
        Move("displace", (SENT, MINED),      DISPLACED,  "its nonce is proven to have gone to another transaction"),
        Move("reverse",  (FINAL, REVERTED, DISPLACED), SENT, "the chain dropped a block that counted as final"),
    ),
    initial=SIGNED,
)
# fmt: on
