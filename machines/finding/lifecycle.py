"""Everything a finding can be and do is in this table; nothing else decides."""

from machines.core.clock import DAY_S, HOUR_S
from machines.core.lifecycle import By, Lifecycle, Move, State

OPEN = "OPEN"
EXPLAINED = "EXPLAINED"
RESOLVED = "RESOLVED"
WAIVED = "WAIVED"

# fmt: off
STATES = (
    State(name=OPEN, means="Our books and the rail's differ; a person does what is proposed, unless the difference goes by itself.",
          by=By.POLLER, every_s=HOUR_S, stuck_after_s=DAY_S),
    State(name=EXPLAINED, means="The difference went by itself: what was late has come, or the record has learned it.",
          by=By.NOBODY, final=True),
    State(name=RESOLVED, means="A person did what was proposed, and both books say the same.",
          by=By.NOBODY, final=True),
    State(name=WAIVED, means="A person said why it may stay as it is.",
          by=By.NOBODY, final=True),
)
MOVES = (
    Move("explain",    (OPEN,),                EXPLAINED, "the difference is gone"),
    Move("resolve",    (OPEN,),                RESOLVED,  "what was proposed is done"),
    Move("waive",      (OPEN,),                WAIVED,    "a person lets it stay, and says why"),
    Move("contradict", (EXPLAINED, RESOLVED),  OPEN,      "the same difference is there again"),
)
# fmt: on

LIFECYCLE = Lifecycle("finding", states=STATES, moves=MOVES, initial=OPEN)
