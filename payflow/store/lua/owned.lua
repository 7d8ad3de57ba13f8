-- Reads an owner's account, their newest records, and what is left of the newest that were archived: all at one moment.
--
-- KEYS  `{pf:SS}:seq` of their shard
-- ARGV  1 now in ms or 0 · 2 owner · 3 how many of each at most
-- gives {now, {field, units, …} of the account, {{id, its newest event, fields… or false}, …}, {{id, tombstone or false}, …},
--        the newest lines of the list of what they asked for, of which each is among the records, or among what is left}
--@include clock
--@include fields
local P, owner, most = string.sub(KEYS[1], 1, -4), ARGV[2], tonumber(ARGV[3])
local records, tombs, seen = {}, {}, {}
local function look(id, listed)
  if seen[id] then return end
  local fields = redis.call('HMGET', P .. 'rec:' .. id, unpack(FIELDS))
  if listed and not fields[1] then return id end
  seen[id] = true
  records[#records + 1] = { id, redis.call('LINDEX', P .. 'hist:' .. id, -1), fields[1] and fields }
end
local function look_at_tomb(id)
  if seen[id] then return end
  seen[id] = true
  tombs[#tombs + 1] = { id, redis.call('HGET', P .. 'tomb', id) }
end
for _, id in ipairs(redis.call('ZREVRANGE', P .. 'own:' .. owner, 0, most - 1)) do look(id) end
for _, id in ipairs(redis.call('ZREVRANGE', P .. 'past:' .. owner, 0, most - 1)) do look_at_tomb(id) end
local lines = redis.call('LRANGE', P .. 'asked:' .. owner, -most, -1)
for _, line in ipairs(lines) do
  local id = string.match(line, '^%d+ ([%l_]+%-%d%d%-%w+) ')
  local gone = id and look(id, true)
  if gone then look_at_tomb(gone) end
end
return { clock(ARGV[1]), redis.call('HGETALL', P .. 'acct:' .. owner), records, tombs, lines }
