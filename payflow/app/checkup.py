"""What the doctor looks at of mining pools: what their Redis may forget, what waits in their books, what signs."""

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from adapters.addresses import typed
from adapters.open_ethereum_pool import config
from adapters.open_ethereum_pool.books import PoolBooks
from adapters.open_ethereum_pool.link import Persistence, PoolRedis
from machines.core.clock import SystemClock
from machines.core.errors import PayflowError
from machines.pool.data import WEI
from payflow.app.lanes import open_lane
from payflow.app.pools import check_address, check_chain, lane_settings, pool_node
from payflow.config import Settings
from payflow.desk.pool.pool import try_signer
from payflow.telemetry.health import Check, Level, fail, first_of, ok, warn


async def examine_pool(settings: Settings, path: Path) -> list[Check]:
    """Look at one pool, and say what to do."""
    try:
        pool = config.load(path)
    except PayflowError as error:
        return [fail("pool file", str(error))]
    checks = [ok("pool file", f"{path} pays {pool.coin} from {pool.address}, as {pool.flavour} keeps its books.")]
    async with PoolRedis(pool.redis) as link:
        try:
            books = PoolBooks(link, pool.coin, pool.flavour)
            persistence = await books.persistence()
            if pool.syncs_runs and persistence.append_only:
                # As it will be when somebody is paid.
                persistence = replace(persistence, config={**persistence.config, "appendfsync": "always"})
            checks += pool_durability(persistence, accepted=settings.accept_weak_durability)
            pending, lock = await books.pending(), await books.lock()
            left = f"{len(pending)} payments are pending, the lock is {lock or 'free'}"
            checks.append(
                first_of(
                    "pool payments",
                    (pending or lock, Level.WARN, f"{left}: `payflow pool pending` says whose they are."),
                    (True, Level.OK, "Nothing is pending, and payouts are not locked."),
                )
            )
        except PayflowError as error:
            checks.append(fail("pool Redis", str(error)))
    return [*checks, *await _chain(settings, pool)]


def pool_durability(persistence: Persistence, *, accepted: bool) -> list[Check]:
    """Say whether the pool's Redis keeps what it acknowledged, and whether there is a backup."""
    faults, advice = persistence.faults(), persistence.advice()
    level = warn if accepted else fail
    found = [level("pool Redis", fault) for fault in faults]
    found += [warn("pool backups", one) for one in advice]
    if not faults:
        found.append(
            ok("pool Redis", f"It keeps every write (append-only file, fsync {persistence.fsync or 'on request'}).")
        )
    if not advice:
        none = "It has written no snapshot since it started, and will; keep copies elsewhere."
        last = f"Its last snapshot is {persistence.snapshot_age_s // 3600} hours old; keep copies elsewhere."
        found.append(ok("pool backups", none if persistence.snapshots_written == 0 else last))
    return found


async def _chain(settings: Settings, pool: config.Config) -> list[Check]:
    """Look at the pool's node, and at the lane that pays: one chain, one address, and a signer that signs."""
    checks: list[Check] = []
    async with AsyncExitStack() as stack:
        try:
            node = await pool_node(settings, pool, stack)
            peers, wanted = await node.peers() if pool.require_peers else 0, pool.require_peers
            too_few = f"It has {peers} peers, and payouts wait until it has {wanted}."
            answers = f"It answers for the chain {node.chain_id}."
            checks.append(first_of("pool node", (peers < wanted, Level.WARN, too_few), (True, Level.OK, answers)))
            name, given = lane_settings(settings, pool, node)
            # A key that lies in a file is opened by `payflow pool run` alone, which tries it before it pays.
            sender = None if given.signer else typed(given.address or pool.address)
            lane = await open_lane(name, given, SystemClock(), stack, sender=sender)
            check_address(pool, lane)
            await check_chain(pool, lane, node)
            checks.append(ok("pool chain", f"Its node and the lane {name} are on the chain {lane.chain.chain_id}."))
            if sender is None:
                await try_signer(lane)
            held = "It signs" if sender is None else "A key that its payer alone opens signs"
            checks.append(ok("pool signer", f"{held} for {pool.address}."))
            wei = await lane.chain.balance(pool.address)
            checks.append(ok("pool wallet", f"{pool.address} holds {wei // WEI} Shannon."))
        except PayflowError as error:
            checks.append(fail(("pool node", "pool chain", "pool signer", "pool wallet")[len(checks)], str(error)))
    return checks
