-- Puts an archived record back where it was, to be looked at now: its rail may have sent the money back after all.
--
-- KEYS  `{pf:SS}:seq` of its shard
-- ARGV  1 now in ms or 0 · 2 id · 3 machine · 4 state · 5 owner · 6 its tombstone, as it was read · 7 its first event ·
--       8 the event that says so · 9 the hash of that · 10 '1' where somebody looks at its state · 11… the fields of the record
-- gives 1, or 0 when it is there already
--@include clock
local P, now = string.sub(KEYS[1], 1, -4), clock(ARGV[1])
local id, machine, state, owner = unpack(ARGV, 2, 5)
local rec = P .. 'rec:' .. id
if redis.call('HGET', P .. 'tomb', id) ~= ARGV[6] or redis.call('EXISTS', rec) == 1 then return 0 end
redis.call('HSET', rec, 'hash', ARGV[9], unpack(ARGV, 11))
redis.call('RPUSH', P .. 'hist:' .. id, ARGV[7], ARGV[8])
redis.call('ZADD', P .. 'in:' .. machine .. ':' .. state, redis.call('HGET', rec, 'since'), id)
redis.call('ZADD', P .. 'own:' .. owner, redis.call('HGET', rec, 'made'), id)
if ARGV[10] == '1' then redis.call('ZADD', P .. 'due:' .. machine .. ':' .. state, now, id) end
redis.call('HDEL', P .. 'gone', id)
redis.call('HDEL', P .. 'tomb', id)
redis.call('ZREM', P .. 'past:' .. owner, id)
redis.call('PUBLISH', 'pf:wake', machine .. ':' .. state)
return 1
