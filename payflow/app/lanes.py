"""The lanes that are set up: their nodes and signers, their records in the store, and the rails that pay over them."""

from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp

from adapters.addresses import typed
from adapters.ethereum import signers
from adapters.ethereum.node import Nodes
from adapters.ethereum.pay_many import PayManyContract
from machines.core.chain import Address, Signer
from machines.core.clock import Clock
from machines.core.errors import BadAmount, BadInput, BadSettings, Retryable
from machines.core.money import ETH, Asset, Money
from machines.transaction.caps import Cap, set_aside
from machines.transaction.data import ETHER
from machines.transaction.policy import FeePolicy, LanePolicy
from machines.transaction.ports import Announce, Lane, LaneToken
from payflow.config import CapSettings, LaneSettings, Settings
from payflow.desk.gateways import Gateway, GatewaySetup
from payflow.desk.lanes import Lanes
from payflow.desk.metering import LaneMeter
from payflow.shown import ether
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

ETHER_DECIMALS = 18

# ── from the settings ────────────────────────────────────────────────────────────────────────────────────────────────


def setups_of(lanes: Lanes) -> dict[str, GatewaySetup]:
    """Give each lane as a way to pay people: the address is checked first, what it costs is the lane's."""
    desk = Gateway(check=lambda destination: typed(destination["address"]))
    return {name: GatewaySetup(lanes.rail(name), desk) for name in lanes.lanes}


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
    contract = PayManyContract(_address(name, given.pay_many), rail=name) if given.pay_many else None
    if contract is not None:
        with suppress(Retryable):  # no node answers now: what is wrong with the contract then shows on the chain
            await contract.check(nodes, signer.address)
    return Lane(
        name,
        nodes,
        signer,
        policy_of(name, given),
        contract,
        {code: LaneToken(_address(name, one.address), one.decimals) for code, one in given.tokens.items()},
        announce,
        LaneMeter(metrics, name, nodes) if metrics else None,
    )


def _address(lane: str, text: str) -> Address:
    try:
        return typed(text)
    except BadInput as problem:
        raise BadSettings(f"The lane {lane}: {problem}") from problem


def _sender(name: str, given: LaneSettings) -> Address:
    """Tell from where a lane sends without opening its key: from the settings, or the open part of a keystore."""
    if given.address:
        return _address(name, given.address)
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
    expected = _address(name, given.address) if given.address else None
    if given.signer is not None:
        if expected is None:
            raise BadSettings(f"The lane {name} needs the address that its remote signer signs for.")
        return await signers.remote(session, given.signer.get_secret_value(), expected, given.chain_id, rail=name)
    if given.keystore is not None:
        if given.password_file is None:
            raise BadSettings(f"The lane {name} needs password_file: a file with the keystore's password.")
        return signers.keystore(given.keystore, given.password_file, expected)
    return signers.raw_key_file(given.key_file or Path(), expected)


def policy_of(name: str, given: LaneSettings) -> LanePolicy:
    """Read how a lane sends."""
    tokens = {code: (Asset(code, one.ledger_decimals), one) for code, one in given.tokens.items()}
    caps: dict[str, Cap] = {}
    for code, cap in given.caps.items():
        if code == ETH.code:
            caps[ETHER] = _cap(name, ETH, cap, ETHER_DECIMALS)
        elif code in tokens:
            asset, token = tokens[code]
            caps[_address(name, token.address)] = _cap(name, asset, cap, token.decimals)
        else:
            raise BadSettings(f"The lane {name} has a cap for {code}, and pays {', '.join((ETH.code, *tokens))}.")
    fee_cap = _cap(name, ETH, given.fee_cap, ETHER_DECIMALS) if given.fee_cap else None
    least = set_aside(0, given.max_fee_ceiling_wei)
    if fee_cap and fee_cap.most < least:
        raise BadSettings(
            f"The lane {name} has a fee_cap of {fee_cap.says}: it must allow at least {ether(least)} (21,000 gas at "
            "max_fee_ceiling_wei), so that each nonce that is signed can be closed."
        )
    return LanePolicy(
        FeePolicy(
            legacy=given.legacy,
            percentile=given.fee_percentile,
            tip_floor_wei=given.tip_floor_wei,
            tip_ceiling_wei=given.tip_ceiling_wei,
            max_fee_ceiling_wei=given.max_fee_ceiling_wei,
            gas_price_wei=given.gas_price_wei,
        ),
        depth=given.depth,
        finalized=given.finalized,
        in_flight=given.in_flight,
        bump_after_s=given.bump_after_s,
        rebroadcast_s=given.rebroadcast_s,
        batch_size=given.batch_size,
        batch_wait_s=given.batch_wait_s,
        gas_limit=given.gas_limit,
        caps=caps,
        fee_cap=fee_cap,
    )


def _cap(name: str, asset: Asset, given: CapSettings, decimals: int) -> Cap:
    """Read a cap, in units of the chain."""
    limits = {"an hour": given.hour, "a day": given.day}
    says = " and ".join(f"{most} {asset.code} {of}" for of, most in limits.items() if most is not None)
    try:
        hour, day = (
            None if most is None else Money.parse(most, asset).units * 10**decimals // 10**asset.decimals
            for most in limits.values()
        )
    except BadAmount as error:
        raise BadSettings(f"The lane {name}, its cap for {asset.code}: {error}") from error
    if not says:
        raise BadSettings(f"The lane {name}, its cap for {asset.code}: say how much, for `hour` or `day`.")
    return Cap(hour, day, says)
