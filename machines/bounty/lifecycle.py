"""Everything a bounty can be and do is in this table; nothing else decides."""

from collections.abc import Mapping
from types import MappingProxyType

from machines.core.clock import DAY_S, HOUR_S, MINUTE_S
from machines.core.lifecycle import By, Lifecycle, Move, State

OPENING = "OPENING"
OPEN = "OPEN"
CLOSED = "CLOSED"
MERGED = "MERGED"
AWAITING_ADDRESS = "AWAITING_ADDRESS"
CONTESTED = "CONTESTED"
EXECUTED = "EXECUTED"
CONFIRMABLE = "CONFIRMABLE"
CONFIRMING = "CONFIRMING"
PAID = "PAID"
REVOKING = "REVOKING"
REFUNDED = "REFUNDED"

# fmt: off
STATES = (
    State(name=OPENING, means="Labelled; the bot makes its wallet, as soon as the owners are proven.",
          by=By.POLLER, every_s=15, stuck_after_s=HOUR_S, sends=True, public="deploying"),
    State(name=OPEN, means="Has a wallet that anybody may fill; waits for a pull request that is merged.",
          by=By.POLLER, every_s=10 * MINUTE_S, public="opened"),
    State(name=CLOSED, means="The issue was closed without a merge, unlabelled, moved or deleted; the money is in the wallet.",
          by=By.POLLER, every_s=6 * HOUR_S, public="closed"),
    State(name=MERGED, means="Has a winner; the bot looks what the wallet holds, and fixes the payment.",
          by=By.POLLER, every_s=MINUTE_S, stuck_after_s=DAY_S, sends=True, public="pending-sob-confirmation"),
    State(name=AWAITING_ADDRESS, means="The winner has not said where their money should go.",
          by=By.POLLER, every_s=10 * MINUTE_S, stuck_after_s=7 * DAY_S, cleared=True, public="pending-contributor-address"),
    # What it sends takes an approval back and moves no money, so nobody's yes is asked before.
    State(name=CONTESTED, means="A person must decide who gets it, or give it back; the bot takes back what it approved.",
          by=By.POLLER, every_s=MINUTE_S, stuck_after_s=DAY_S, may_have_left=True, public="multiple-claims"),
    State(name=EXECUTED, means="The payment is fixed; the bot's approval of it is on its way.",
          by=By.POLLER, every_s=15, stuck_after_s=HOUR_S, sends=True, public="pending-sob-confirmation"),
    State(name=CONFIRMABLE, means="The bot has approved; a maintainer must confirm.",
          by=By.POLLER, every_s=MINUTE_S, stuck_after_s=7 * DAY_S, may_have_left=True, public="pending-maintainer-confirmation"),
    State(name=CONFIRMING, means="A maintainer has confirmed; the chain has not settled it yet.",
          by=By.POLLER, every_s=15, stuck_after_s=6 * HOUR_S, may_have_left=True, public="merged"),
    State(name=PAID, means="The wallet paid the winner, and the receipt says so; later deposits are offered as a sweep.",
          by=By.POLLER, every_s=6 * HOUR_S, may_have_left=True, final=True, public="paid"),
    State(name=REVOKING, means="The money goes back, with the same two hands.",
          by=By.POLLER, every_s=15, stuck_after_s=7 * DAY_S, sends=True, public="revoking"),
    State(name=REFUNDED, means="The wallet paid the money back, and the receipt says so.",
          by=By.POLLER, every_s=6 * HOUR_S, may_have_left=True, final=True, public="refunded"),
)

MOVES = (
    #    trigger      from                                                    to                because
    Move("open",      (OPENING,),                                             OPEN,             "its wallet is there, with the right owners"),
    Move("close",     (OPENING, OPEN),                                        CLOSED,           "the issue was closed without a merge, unlabelled, moved or deleted"),
    Move("reopen",    (CLOSED,),                                              OPEN,             "the issue is open and labelled again"),
    Move("restart",   (CLOSED,),                                              OPENING,          "as above, and it never had a wallet"),
    Move("merge",     (OPEN, CLOSED),                                         MERGED,           "a pull request that closes it was merged into the default branch"),
    Move("contest",   (OPEN, CLOSED, MERGED, AWAITING_ADDRESS),               CONTESTED,        "a second one was merged before the payment was fixed, or one was changed after its merge"),
    Move("decide",    (CONTESTED,),                                           MERGED,           "an operator says who gets it"),
    Move("resume",    (CONTESTED,),                                           OPEN,             "an operator says that nobody has won it yet"),
    Move("ask",       (MERGED,),                                              AWAITING_ADDRESS, "the winner has no address"),
    Move("answer",    (AWAITING_ADDRESS,),                                    MERGED,           "the winner has one now"),
    Move("reassign",  (AWAITING_ADDRESS,),                                    MERGED,           "the winner let the deadline pass, and a maintainer names another merged claim"),
    Move("execute",   (MERGED,),                                              EXECUTED,         "what is paid, and to whom, is fixed"),
    Move("approve",   (EXECUTED,),                                            CONFIRMABLE,      "the wallet's own event tells what a maintainer must confirm"),
    Move("confirm",   (CONFIRMABLE,),                                         CONFIRMING,       "a maintainer named their transaction, or the wallet shows it"),
    Move("doubt",     (CONFIRMING,),                                          CONFIRMABLE,      "their transaction paid nothing, or is not there any more"),
    Move("retract",   (EXECUTED, CONFIRMABLE, CONFIRMING, REVOKING),          CONTESTED,        "the payment cannot be carried out, or a person took it back"),
    Move("pay",       (OPEN, CLOSED, MERGED, AWAITING_ADDRESS, CONTESTED, EXECUTED, CONFIRMABLE, CONFIRMING, REVOKING),
                                                                              PAID,             "the wallet's own event says that the winner was paid"),
    Move("revoke",    (OPEN, CLOSED, AWAITING_ADDRESS, CONTESTED),            REVOKING,         "a maintainer wants the money back"),
    Move("refund",    (OPEN, CLOSED, MERGED, AWAITING_ADDRESS, CONTESTED, EXECUTED, CONFIRMABLE, CONFIRMING, REVOKING),
                                                                              REFUNDED,         "the wallet's own event says that it was paid back"),
)
# fmt: on

UNFIXED = (OPENING, OPEN, CLOSED, MERGED, AWAITING_ADDRESS, CONTESTED)
"""Where nobody is named yet whom the money goes to, or no address."""

LIFECYCLE = Lifecycle("bounty", states=STATES, moves=MOVES, initial=OPENING)

ENABLED = "ENABLED"
DISABLED = "DISABLED"

REPOSITORY = Lifecycle(
    "repository",
    states=(
        State(name=ENABLED, means="Its labelled issues become bounties.", by=By.OUTSIDE, public="Enabled"),
        State(
            name=DISABLED,
            means="No issue of it becomes a bounty; what began goes on.",
            by=By.OUTSIDE,
            public="Not enabled",
        ),
    ),
    moves=(
        Move("disable", (ENABLED,), DISABLED, "the app was taken away"),
        Move("enable", (DISABLED,), ENABLED, "the app is installed again"),
    ),
    initial=ENABLED,
)

POLLERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "deploy-pending-contracts": (OPENING,),
        "update-issue-contract-address": (OPENING,),
        "update-balances": (OPEN, CLOSED, PAID, REFUNDED),
        "update-address": (AWAITING_ADDRESS,),
        "self-sign-bounty": (MERGED,),
        "update-confirm-hash": (EXECUTED,),
        "update-payout-receipt": (CONFIRMABLE, CONFIRMING),
        "update-revoked-payout-receipt": (REVOKING,),
    }
)
"""By the names that the payout flow's document gives them: which states each one looks after."""
