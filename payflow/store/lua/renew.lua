-- Confirms leases and prolongs them; the last question before something irreversible leaves.
--
-- KEYS  `{pf:SS}:seq` of each shard touched
-- ARGV  1 now in ms or 0 · 2 msgpack {{index into KEYS, id, fence, lease_ms, version or 0}, …}; a version asks whether
--       something may leave: if so the record is marked with the fence, until a commit says what came of it
-- gives {now, run id, replication id, {{sequence, what was lost or ''} of each key},
--        {1 held, 2 held but in another version, 0 lost, for each}, and, where nothing is asked, {the writers of the first
--        shard, field and value in turn, see writers.lua}}
--@include clock
local now = clock(ARGV[1])
local sequences, held = {}, {}
local asked = cmsgpack.unpack(ARGV[2])
for i, ask in ipairs(asked) do
  local place, id, fence, lease, version = unpack(ask)
  local P = string.sub(KEYS[place], 1, -4)
  local known = redis.call('HMGET', P .. 'rec:' .. id, 'fence', 'state', 'ver')
  local index = known[2] and P .. 'due:' .. string.match(id, '^[^-]+') .. ':' .. known[2]
  local ends = index and redis.call('ZSCORE', index, id)
  local holds = ends and tonumber(known[1]) == fence and tonumber(ends) > now
  if holds then redis.call('ZADD', index, now + lease, id) end
  local sends = (version or 0) > 0
  local same = not sends or tonumber(known[3]) == version
  if holds and sends and same then redis.call('HSET', P .. 'rec:' .. id, 'sending', fence) end
  held[i] = holds and (same and 1 or 2) or 0
end
for i, key in ipairs(KEYS) do
  local lost = redis.call('HGET', string.sub(key, 1, -4) .. 'writers', 'lost')
  sequences[i] = { tonumber(redis.call('GET', key) or '0'), lost or '' }
end
local run, replication = identity()
local writers = #asked == 0 and redis.call('HGETALL', string.sub(KEYS[1], 1, -4) .. 'writers') or {}
return { now, run, replication, sequences, held, writers }
