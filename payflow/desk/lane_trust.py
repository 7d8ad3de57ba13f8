"""Letting the word of one node count alone for a time: where too few of a lane's nodes can say the same."""

from machines.core.clock import HOUR
from machines.core.errors import BadInput
from machines.transaction.data import lane_id
from machines.transaction.facts import Trusted
from payflow.desk.dual_control import DualControl, Verb
from payflow.desk.person import Person
from payflow.engine.step import take_in
from payflow.store.registers.proposals import Proposal
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

TRUSTING = "lane trust"
MOST_HOURS = 24


def verb(store: Store, metrics: Metrics) -> Verb:
    """Give the act that takes two."""

    def says(one: Proposal) -> list[str]:
        node, hours = one.seen["node"], one.seen["hours"]
        return [
            f"For {hours} hours from then on the word of the node {node} counts alone in the lane {one.subject}.",
            "What it says of the chain is taken for proof, unless enough of the others say something else.",
        ]

    async def do(one: Proposal, second: Person) -> str:
        until = await store.records.now() + int(one.seen["hours"]) * HOUR
        both = f"{one.by} and {second.name}"
        fact = Trusted(one.seen["node"], until, both, one.reason)
        await take_in(store.records, metrics, lane_id(one.subject, store.records.shards), fact, second.name)
        return f"For {one.seen['hours']} hours the word of {one.seen['node']} counts alone in the lane {one.subject}."

    return Verb(TRUSTING, says, do)


async def propose(two: DualControl, lane: str, node: str, hours: int, reason: str, person: Person) -> Proposal:
    """Put it before a second person."""
    if not 0 < hours <= MOST_HOURS:
        raise BadInput(f"A node's word may count alone for 1 to {MOST_HOURS} hours: by then bring back the others.")
    return await two.propose(TRUSTING, lane, {"node": node, "hours": str(hours)}, reason, person)
