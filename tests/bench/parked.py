"""Whether records that are not due cost anything: claims with a million of them in the store, and a worker with nothing to do.

The first record is made as always; the others are copies of it under other ids, made by a script in the server with
the same keys and index entries. Their append-only file is written once they are all there.
"""

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from statistics import median

from redis.asyncio import Redis

from payflow.store import keys
from payflow.store.records import Queue
from tests.bench.bed import Bed, bed
from tests.bench.machine import FIRST, NAME
from tests.bench.table import Row

MANY, MANY_QUICK, FEW = 1_000_000, 100_000, 1_000
DUE = 512
AT_A_TIME = 64
CLAIMS, CLAIMS_QUICK = 1_000, 200
WATCHED_S, WATCHED_QUICK_S = 20.0, 5.0
SETTLE_S = 2.0

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
  local id = string.sub(first, 1, -11) .. string.gsub(string.format('%010d', i), '[0-9]', function(d) return string.char(97 + d) end)
  redis.call('COPY', P .. 'rec:' .. first, P .. 'rec:' .. id)
  redis.call('COPY', P .. 'hist:' .. first, P .. 'hist:' .. id)
  redis.call('ZADD', P .. 'due:' .. state, due, id)
  redis.call('ZADD', P .. 'in:' .. state, since, id)
  redis.call('ZADD', P .. 'own:' .. owner .. ':' .. math.floor(i / 10), since, id)
end
"""
_COPIES_A_CALL = 10_000


async def measure(*, quick: bool) -> list[Row]:
    """Let claims on the full and on the almost empty store take turns, then watch an idle worker on the full one."""
    many = MANY_QUICK if quick else MANY
    async with AsyncExitStack() as stack:
        full, empty = [await stack.enter_async_context(bed("always")) for _ in range(2)]
        await _park(full, many)
        await _park(empty, FEW)
        for one in (full, empty):
            await one.load(DUE, due_in_s=0)
        claims = await _claims_ms((full, empty), CLAIMS_QUICK if quick else CLAIMS)
        looks = await _claims_ms((full, empty), CLAIMS_QUICK if quick else CLAIMS, limit=0)
        commands, cpu_percent = await _idle(full, WATCHED_QUICK_S if quick else WATCHED_S)
    return [
        _claim_row(f"claim of {AT_A_TIME} with {many:,} parked", claims, "copies of a real record, made in the server"),
        _claim_row(f"a look that finds nothing due, {many:,} parked", looks, ""),
        *_idle_rows(commands, cpu_percent, many),
    ]


async def _park(ours: Bed, count: int) -> None:
    """Fill all shards evenly with records that sleep."""
    shards = ours.store.records.shards
    await ours.command("CONFIG", "SET", "appendonly", "no")
    templates = {ours.store.records.shard_of(one): one for one in await ours.load(shards * 100)}
    for shard, template in sorted(templates.items()):
        share = count // shards - sum(1 for _ in ())
        for start in range(0, share, _COPIES_A_CALL):
            copies = min(_COPIES_A_CALL, share - start)
            await ours.command(
                "EVAL", _COPY, 1, keys.sequence(shard), keys.prefix(shard), template, copies, f"{NAME}:{FIRST}", start
            )
    await ours.command("CONFIG", "SET", "appendonly", "yes")
    while int((await ours.command("INFO", "persistence"))["aof_rewrite_in_progress"]):
        await asyncio.sleep(0.1)
