"""Everything a pool payment can be and do is in this table; nothing else decides."""

from machines.core.clock import HOUR_S, MINUTE_S
from machines.core.lifecycle import By, Lifecycle, Move, State

DUE = "DUE"
DEBITED = "DEBITED"
SENT = "SENT"
PAID = "PAID"
SKIPPED = "SKIPPED"
CREDITED = "CREDITED"
HALTED = "HALTED"

# fmt: off
STATES = (
    State(name=DUE, means="The miner has reached the threshold; nothing is taken off their balance yet.",
          by=By.POLLER, every_s=10, stuck_after_s=10 * MINUTE_S, cleared=True, public="due"),
    State(name=DEBITED, means="Taken off the miner's balance and logged as pending in the pool's books; handed to the lane, or about to be.",
          by=By.POLLER, every_s=5, stuck_after_s=HOUR_S, sends=True, public="pending"),
    State(name=SENT, means="Signed; its nonce and hash are known, and it waits to be mined deep enough.",
          by=By.POLLER, every_s=5, stuck_after_s=HOUR_S, may_have_left=True, cleared=True, public="pending"),
    State(name=PAID, means="Mined deep enough, and written into the pool's books as paid; watched while the chain could still forget it.",
          by=By.POLLER, every_s=10 * MINUTE_S, may_have_left=True, final=True, public="paid"),
    State(name=SKIPPED, means="Not paid this time, and nothing was taken; the next run looks again.",
          by=By.NOBODY, final=True, public="skipped"),
    State(name=CREDITED, means="Proven unpaid, and back on the miner's balance.",
          by=By.NOBODY, final=True, public="credited"),
    State(name=HALTED, means="The chain, the lane and the pool's books contradict each other; a person decides.",
          by=By.PERSON, stuck_after_s=MINUTE_S, may_have_left=True, public="pending"),
)

MOVES = (
    #    trigger        from                      to         because
    Move("debit",       (DUE,),                   DEBITED,   "the pool's books took it off the balance and logged it as pending"),
    Move("skip",        (DUE,),                   SKIPPED,   "a check failed, or the balance went elsewhere: nothing was taken"),
    Move("send",        (DEBITED,),               SENT,      "its bytes are signed, with nonce and hash"),
    Move("pay",         (DEBITED, SENT),          PAID,      "the chain proves it, and the pool's books say so"),
    Move("credit",      (DEBITED, SENT, HALTED),  CREDITED,  "proven unpaid, and the pool's books gave it back"),
    Move("halt",        (DEBITED, SENT),          HALTED,    "somebody changed the books by hand, or what was sent is not known any more"),
    Move("resume",      (HALTED,),                DEBITED,   "a person has put right what was wrong: look again"),
    Move("mark_paid",   (DEBITED, SENT, HALTED),  PAID,      "a person brought the transaction, and the chain proves that it paid"),
    Move("contradict",  (CREDITED,),              PAID,      "the chain proves after all that it was paid"),
)
# fmt: on

LIFECYCLE = Lifecycle("pool", states=STATES, moves=MOVES, initial=DUE)
OPEN = (DUE, DEBITED, SENT, HALTED)
"""The states of a payment that is not over."""
TAKEN = (DEBITED, SENT, HALTED)
"""The open states in which the pool's books have taken it off the balance."""
