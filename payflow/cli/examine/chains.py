"""What the doctor looks at of lanes: whether the nodes that must agree do, and what can be proven by their answers."""

import asyncio

from adapters.ethereum.node import Nodes
from machines.core.errors import PayflowError
from machines.transaction.ports import Lane
from payflow.desk.lanes import Lanes
from payflow.telemetry.health import Check, fail, ok, warn


async def examine_lanes(lanes: Lanes) -> list[Check]:
    """Look at the nodes of every lane."""
    return list(await asyncio.gather(*map(_nodes, lanes.lanes.values())))


async def _nodes(lane: Lane) -> Check:
    name, nodes = f"lane {lane.name}", lane.chain
    if not isinstance(nodes, Nodes):
        return ok(name, "Its chain has no nodes to look at.")
    try:
        head = await nodes.head()
        if nodes.without_quorum:
            return fail(name, f"Of its {nodes.quorum.nodes} nodes fewer than {nodes.quorum.needed} say the same.")
        if nodes.quorum.alone:
            return warn(name, f"It has one node, at block {head.number}, whose word counts: name two more in `rpc`.")
        provable = await nodes.provable()
    except PayflowError as error:
        return fail(name, str(error))
    agree = f"{nodes.quorum.needed} of its {nodes.quorum.nodes} nodes must agree, and do on block {head.number}"
    if not provable:
        return warn(
            name,
            f"{agree}. Receipts cannot be held against the headers of this chain's blocks (no node shows "
            "eth_getBlockReceipts, or the chain has fields of its own): that the nodes agree is all there is.",
        )
    return ok(name, f"{agree}; receipts are held against the headers of their blocks.")
