"""Whether records that are not due cost anything: claims beside a million of them, and a worker with nothing to do.

The first record is made as always; the others are copies of it under other ids, made by a script in the server with
the same keys and index entries. Their append-only file is written once they are all there.
"""

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from statistics import median

from redis.asyncio import Redis

from payflow.store import keys
from payflow.store.stored import Queue
from tests.bench.bed import Bed, bed
from tests.bench.machine import FIRST, NAME
from tests.bench.table import TIMES, Row
from tests.waiting import wait_until

MANY, MANY_QUICK, FEW = 1_000_000, 100_000, 1_000
DUE = 512
AT_A_TIME = 64
CLAIMS, CLAIMS_QUICK = 1_000, 200
WATCHED_S, WATCHED_QUICK_S = 20.0, 5.0
SETTLE_S = 2.0
REWRITE_LIMIT_S = 120.0

CLAIM_TARGET = 1.3
COMMANDS_TARGET = 2
CPU_TARGET_PERCENT = 0.5

# KEYS 1 any of the shard · ARGV prefix, id of the template, number of copies, machine:STATE, where to start
_COPY = """
local P, first, state = ARGV[1], ARGV[2], ARGV[4]
local owner = redis.call('HGET', P .. 'rec:' .. first, 'owner')
local due = redis.call('ZSCORE', P .. 'due:' .. state, first)
local since = redis.call('ZSCORE', P .. 'in:' .. state, first)
for i = ARGV[5], ARGV[5] + ARGV[3] - 1 do
  local letters = string.gsub(string.format('%010d', i), '[0-9]', function(digit) return string.char(97 + digit) end)
  local id = string.sub(first, 1, -11) .. letters
  redis.call('COPY', P .. 'rec:' .. first, P .. 'rec:' .. id)
  redis.call('COPY', P .. 'hist:' .. first, P .. 'hist:' .. id)
  redis.call('ZADD', P .. 'due:' .. state, due, id)
  redis.call('ZADD', P .. 'in:' .. state, since, id)
  redis.call('ZADD', P .. 'own:' .. owner .. ':' .. math.floor(i / 10), since, id)
end
"""
_COPIES_A_CALL = 10_000


async def measure(*, quick: bool) -> list[Row]:
    """Look and claim on a full and on an almost empty store in turn, then watch an idle worker on the full one."""
    many = MANY_QUICK if quick else MANY
    calls = CLAIMS_QUICK if quick else CLAIMS
    async with AsyncExitStack() as stack:
        full, empty = [await stack.enter_async_context(bed("always")) for _ in range(2)]
        await _park(full, many)
        await _park(empty, FEW)
        looks = await _claims_ms(full, empty, calls)
        for one in (full, empty):
            await one.load(DUE, due_in_s=0)
        claims = await _claims_ms(full, empty, calls)
        commands, cpu_percent = await _idle(full, WATCHED_QUICK_S if quick else WATCHED_S)
    return [
        _claim_row(
            f"claim of {AT_A_TIME} due with {many:,} parked", claims, "the parked are copies, made in the server"
        ),
        _claim_row(f"a look that finds nothing due, {many:,} parked", looks, ""),
        *_idle_rows(commands, cpu_percent, many),
    ]


# ── the stores ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def _park(ours: Bed, count: int) -> None:
    """Fill all shards evenly with records that sleep."""
    await ours.command("CONFIG", "SET", "appendonly", "no")
    shards = ours.store.records.shards
    templates = {ours.store.records.shard_of(one): one for one in await ours.load(FEW)}
    share = (count - FEW) // shards
    for shard, template in templates.items():
        for start in range(0, share, _COPIES_A_CALL):
            copies = min(_COPIES_A_CALL, share - start)
            place = (keys.prefix(shard), template, copies, f"{NAME}:{FIRST}", start)
            await ours.command("EVAL", _COPY, 1, keys.sequence(shard), *place)
    await ours.command("CONFIG", "SET", "appendonly", "yes")

    async def written() -> bool:
        told = await ours.command("INFO", "persistence")
        return not int(told["aof_rewrite_in_progress"]) and not int(told["aof_rewrite_scheduled"])

    await wait_until(written, "the append-only file is written", REWRITE_LIMIT_S)


# ── claims ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _claims_ms(full: Bed, empty: Bed, calls: int) -> tuple[float, float]:
    """Claim from both in turn. A lease of 1 ms makes sure that there is always something to claim again."""
    taken: tuple[list[float], list[float]] = ([], [])
    queues = [Queue(NAME, FIRST, AT_A_TIME, 1)]
    for _ in range(calls):
        for ours, times in zip((full, empty), taken, strict=True):
            began = time.perf_counter()
            await ours.store.records.claim(queues)
            times.append((time.perf_counter() - began) * 1000)
    return median(taken[0]), median(taken[1])


def _claim_row(what: str, times_ms: tuple[float, float], note: str) -> Row:
    full, empty = times_ms
    target = f"≤ {CLAIM_TARGET} {TIMES}"
    return Row(what, full, "ms", target, full <= CLAIM_TARGET * empty, f"with {FEW:,} parked", empty, note)


# ── an idle worker ───────────────────────────────────────────────────────────────────────────────────────────────────


async def _idle(ours: Bed, seconds: float) -> tuple[float, float]:
    """Watch a worker that has nothing to do: its commands a second, and its CPU time in percent."""
    async with ours.worker() as worker:
        await wait_until(lambda: ours.reached(DUE), "what was claimable is done")
        await asyncio.sleep(SETTLE_S)
        before = await worker.usage()
        commands = await _commands(ours.socket, seconds)
        after = await worker.usage()
    return commands / seconds, (after.cpu_s - before.cpu_s) / seconds * 100


async def _commands(socket: str, seconds: float) -> int:
    """Count the commands that clients send; those that a script runs in the server are its own business."""
    count = 0
    async with Redis(unix_socket_path=socket, protocol=2) as client, client.monitor() as monitor:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    count += (await monitor.next_command())["client_type"] != "lua"
    return count


def _idle_rows(commands: float, cpu_percent: float, many: int) -> list[Row]:
    return [
        Row(
            f"commands of an idle worker, {many:,} parked",
            commands,
            "/s",
            f"≤ {COMMANDS_TARGET}/s",
            commands <= COMMANDS_TARGET,
        ),
        Row("CPU of an idle worker", cpu_percent, "%", f"≤ {CPU_TARGET_PERCENT} %", cpu_percent <= CPU_TARGET_PERCENT),
    ]
