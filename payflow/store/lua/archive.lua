-- Puts a finished record away: what is left of it answers a replay of its key, and says where the rest is.
--
-- KEYS  `{pf:SS}:seq` of its shard
-- ARGV  1 id · 2 machine · 3 state · 4 version · 5 owner · 6 what a replay is compared with · 7 tombstone, as msgpack ·
--       8 when it was made, '' where it is not signed
--       9 what of it was posted on its rail's side
-- gives 1, or 0 when it is not as it was read: it moved, is set aside, or somebody will look at it

-- Of an owner's past so many of the newest are named, for the rules that judge them.
local MOST_PAST = 100
local P = string.sub(KEYS[1], 1, -4)
local id, machine, state, version, owner = unpack(ARGV, 1, 5)
local rec, due = P .. 'rec:' .. id, P .. 'due:' .. machine .. ':' .. state
local at, ver, parked, share = unpack(redis.call('HMGET', rec, 'state', 'ver', 'parked', 'share'))
if at ~= state or ver ~= version or parked or (share or '') ~= ARGV[9] or redis.call('ZSCORE', due, id) then return 0 end
redis.call('HSET', P .. 'gone', id, ARGV[6])
redis.call('HSET', P .. 'tomb', id, ARGV[7])
redis.call('ZREM', P .. 'in:' .. machine .. ':' .. state, id)
redis.call('ZREM', P .. 'own:' .. owner, id)
redis.call('ZREM', P .. 'failing', id)
if ARGV[8] ~= '' then
  redis.call('ZADD', P .. 'past:' .. owner, ARGV[8], id)
  redis.call('ZREMRANGEBYRANK', P .. 'past:' .. owner, 0, -MOST_PAST - 1)
end
redis.call('DEL', rec, P .. 'hist:' .. id)
return 1
