-- Confirms leases and prolongs them; the last question before something irreversible leaves.
--
-- KEYS  `{pf:SS}:seq` of each shard touched
-- ARGV  1 now in ms or 0 · 2 msgpack {{index into KEYS, id, fence, lease_ms}, …}
-- gives {now, run id, replication id, {sequence of each key}, {1 held, 0 lost, for each}}
--@include clock
local now = clock(ARGV[1])
local sequences, held = {}, {}
for i, ask in ipairs(cmsgpack.unpack(ARGV[2])) do
  local place, id, fence, lease = unpack(ask)
  local P = string.sub(KEYS[place], 1, -4)
  local rec = P .. 'rec:' .. id
  local known = redis.call('HMGET', rec, 'fence', 'lease', 'state')
  local holds = known[2] and tonumber(known[1]) == fence and tonumber(known[2]) > now
  if holds then
    redis.call('HSET', rec, 'lease', now + lease)
    redis.call('ZADD', P .. 'due:' .. string.match(id, '^[^-]+') .. ':' .. known[3], 'XX', now + lease, id)
  end
  held[i] = holds and 1 or 0
end
for i, key in ipairs(KEYS) do sequences[i] = tonumber(redis.call('GET', key) or '0') end
local run, replication = identity()
return { now, run, replication, sequences, held }
