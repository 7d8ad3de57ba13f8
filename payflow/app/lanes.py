"""The lanes that are set up: their nodes and signers, their records in the store, and the rails that pay over them."""

from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp

from adapters.addresses import typed
from adapters.ethereum import signers
from adapters.ethereum.methods import methods
from adapters.ethereum.node import Nodes
from adapters.ethereum.pay_many import PayManyContract
from machines.core.chain import Address, Signer
from machines.core.clock import Clock
from machines.core.errors import BadSettings, Retryable
from machines.transaction.ports import Announce, Lane
from payflow.config import LaneSettings, Settings
from payflow.desk.gateways import Gateway, GatewaySetup
from payflow.desk.lane_policy import address_of, policy_of, token_of
from payflow.desk.lanes import Lanes
from payflow.desk.metering import LaneMeter
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

# ── from the settings ────────────────────────────────────────────────────────────────────────────────────────────────


def setups_of(lanes: Lanes) -> dict[str, GatewaySetup]:
    """Give each lane as a way to pay people: the address is checked first, what it costs is the lane's."""

    def gateway(lane: Lane) -> Gateway:
        return Gateway(check=lambda to: typed(to["address"]), methods=methods(lane.tokens))

    return {name: GatewaySetup(lanes.rail(name), gateway(lane)) for name, lane in lanes.lanes.items()}


async def open_lanes(
    settings: Settings,
    store: Store,
    clock: Clock,
    stack: AsyncExitStack,
    metrics: Metrics | None = None,
    announce: Mapping[str, Announce] | None = None,
) -> Lanes:
    """Open a session to the nodes of each lane, and its signer where workers run: whoever only reads has no key."""
    lanes = {}
    for name, given in settings.lanes.items():
        sender = None if settings.enable_workers else _sender(name, given)
        if given.key_file and not (sender or settings.development):
            raise BadSettings(
                f"The lane {name}: whoever reads {given.key_file} has its money. Make a keystore of it with `payflow "
                "lane encrypt`, name that as `keystore` with its `password_file`, and delete the raw key; or let a "
                "`signer` sign. Where nothing of worth is at stake, set PAYFLOW_DEVELOPMENT=true."
            )
        lanes[name] = await open_lane(name, given, clock, stack, metrics, (announce or {}).get(name), sender)
    taken: dict[tuple[int, str], str] = {}
    for name, lane in lanes.items():
        other = taken.setdefault((lane.chain.chain_id, lane.signer.address), name)
        if other != name:
            raise BadSettings(f"The lanes {other} and {name} have one address: an address has one sequence of nonces.")
    return Lanes(lanes, store)


async def open_lane(
    name: str,
    given: LaneSettings,
    clock: Clock,
    stack: AsyncExitStack,
    metrics: Metrics | None = None,
    announce: Announce | None = None,
    sender: Address | None = None,
) -> Lane:
    """Open one lane; where its sender is given, without a key."""
    session = await stack.enter_async_context(aiohttp.ClientSession())
    urls = [url.get_secret_value() for url in given.rpc]
    nodes = Nodes(session, urls, given.chain_id, clock, rail=name, quorum=given.quorum, reorg_blocks=given.depth)
    stack.push_async_callback(nodes.close)
    signer = signers.KeylessSigner(sender) if sender else await _signer(name, given, session)
    contract = PayManyContract(address_of(name, given.pay_many), rail=name) if given.pay_many else None
    if contract is not None:
        with suppress(Retryable):  # no node answers now: what is wrong with the contract then shows on the chain
            await contract.check(nodes, signer.address)
    return Lane(
        name,
        nodes,
        signer,
        policy_of(name, given),
        contract,
        {code: token_of(name, given, code) for code in given.tokens},
        announce,
        LaneMeter(metrics, name, nodes) if metrics else None,
    )


def _sender(name: str, given: LaneSettings) -> Address:
    """Tell from where a lane sends without opening its key: from the settings, or the open part of a keystore."""
    if given.address:
        return address_of(name, given.address)
    found = signers.keystore_address(given.keystore) if given.keystore else None
    if found is None:
        raise BadSettings(
            f"The lane {name} needs its `address` in PAYFLOW_LANES: only workers open its key, which would tell it."
        )
    return found


async def _signer(name: str, given: LaneSettings, session: aiohttp.ClientSession) -> Signer:
    ways = [way for way in ("keystore", "key_file", "signer") if getattr(given, way) is not None]
    if len(ways) != 1:
        raise BadSettings(f"The lane {name} needs exactly one of keystore, key_file and signer.")
    expected = address_of(name, given.address) if given.address else None
    if given.signer is not None:
        if expected is None:
            raise BadSettings(f"The lane {name} needs the address that its remote signer signs for.")
        return await signers.remote(session, given.signer.get_secret_value(), expected, given.chain_id, rail=name)
    if given.keystore is not None:
        if given.password_file is None:
            raise BadSettings(f"The lane {name} needs password_file: a file with the keystore's password.")
        return signers.keystore(given.keystore, given.password_file, expected)
    return signers.raw_key_file(given.key_file or Path(), expected)
