-- Reads an owner's account, their newest records, and what is left of the newest that were archived: all at one moment.
--
-- KEYS  `{pf:SS}:seq` of their shard
-- ARGV  1 now in ms or 0 · 2 owner · 3 how many of each at most
-- gives {now, {field, units, …} of the account, {{id, its newest event, fields… or false}, …}, {{id, tombstone or false}, …}}
--@include clock
--@include fields
local P, owner, most = string.sub(KEYS[1], 1, -4), ARGV[2], tonumber(ARGV[3])
local records, tombs = {}, {}
for i, id in ipairs(redis.call('ZREVRANGE', P .. 'own:' .. owner, 0, most - 1)) do
  local fields = redis.call('HMGET', P .. 'rec:' .. id, unpack(FIELDS))
  records[i] = { id, redis.call('LINDEX', P .. 'hist:' .. id, -1), fields[1] and fields }
end
for i, id in ipairs(redis.call('ZREVRANGE', P .. 'past:' .. owner, 0, most - 1)) do
  tombs[i] = { id, redis.call('HGET', P .. 'tomb', id) }
end
return { clock(ARGV[1]), redis.call('HGETALL', P .. 'acct:' .. owner), records, tombs }
