"""Everything a file of payouts, and each portion of its rows, can be and do is in these two tables; nothing else decides."""

from machines.core.clock import DAY_S
from machines.core.lifecycle import By, Lifecycle, Move, Position, State

CHECKED = "CHECKED"
MAKING = "MAKING"
PAYING = "PAYING"
DONE = "DONE"
REJECTED = "REJECTED"
CANCELLED = "CANCELLED"

RESERVED = "RESERVED"
SPLIT = "SPLIT"
RETURNED = "RETURNED"

FOLLOW_S = 10

# fmt: off
STATES = (
    State(name=CHECKED, means="Each row was checked; reviewers look at sums and red rows, and approve it as one, or a part of it.",
          by=By.PERSON, stuck_after_s=DAY_S),
    State(name=MAKING, means="It was approved, and its sums are held: portion by portion its rows become payouts.",
          by=By.POLLER, every_s=1, stuck_after_s=DAY_S, cleared=True),
    State(name=PAYING, means="Every row is a payout; they are followed until each is over.",
          by=By.POLLER, every_s=FOLLOW_S, stuck_after_s=3 * DAY_S),
    State(name=DONE, means="What became of every row is known.", by=By.NOBODY, final=True),
    State(name=REJECTED, means="A reviewer said no: no row of it was ever a payout.", by=By.NOBODY, final=True),
    State(name=CANCELLED, means="It was taken back: no further row becomes a payout, and what was held for them is available again.",
          by=By.NOBODY, final=True),
)
MOVES = (
    Move("approve", (CHECKED,),        MAKING,    "enough reviewers said yes to exactly this, and its sums are there"),
    Move("reject",  (CHECKED,),        REJECTED,  "a reviewer says no"),
    Move("cancel",  (CHECKED, MAKING), CANCELLED, "it is not wanted any more"),
    Move("follow",  (MAKING,),         PAYING,    "every portion was split into payouts"),
    Move("finish",  (PAYING,),         DONE,      "every payout of it is over"),
)

PORTION_STATES = (
    State(name=RESERVED, means="What its rows come to is held for them.",
          by=By.OUTSIDE, position=Position.HELD),
    State(name=SPLIT, means="Its rows became payouts, in the same moment in which it let go of what they hold now.",
          by=By.NOBODY, position=Position.AVAILABLE, final=True),
    State(name=RETURNED, means="Its file was taken back first: no row of it is a payout.",
          by=By.NOBODY, position=Position.AVAILABLE, final=True),
)
PORTION_MOVES = (
    Move("split",     (RESERVED,), SPLIT,    "its rows become payouts"),
    Move("give_back", (RESERVED,), RETURNED, "its file was taken back"),
)
# fmt: on

LIFECYCLE = Lifecycle("disbursement", states=STATES, moves=MOVES, initial=CHECKED)
PORTION = Lifecycle("portion", states=PORTION_STATES, moves=PORTION_MOVES, initial=RESERVED)
