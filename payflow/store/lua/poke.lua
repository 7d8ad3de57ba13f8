-- Makes records due now. A leased record keeps its lease and is looked at again as soon as it is given back.
--
-- KEYS  `{pf:SS}:seq` of each shard touched
-- ARGV  1 now in ms or 0 · 2 msgpack {{index into KEYS, id}, …}
-- gives for each: 'due', 'leased', 'asleep' (nobody looks at it in its state) or 'missing'
--@include clock
local now = clock(ARGV[1])
local answers = {}
for i, ask in ipairs(cmsgpack.unpack(ARGV[2])) do
  local P, id = string.sub(KEYS[ask[1]], 1, -4), ask[2]
  local rec, machine = P .. 'rec:' .. id, string.match(id, '^[^-]+')
  local known = redis.call('HMGET', rec, 'state', 'fence')
  local index = known[1] and P .. 'due:' .. machine .. ':' .. known[1]
  local due = index and redis.call('ZSCORE', index, id)
  if not known[1] then
    answers[i] = 'missing'
  elseif not due then
    answers[i] = 'asleep'
  elseif tonumber(known[2] or 0) % 2 == 1 and tonumber(due) > now then
    redis.call('HSET', rec, 'poke', 1)
    answers[i] = 'leased'
  else
    redis.call('ZADD', index, now, id)
    redis.call('PUBLISH', 'pf:wake', machine .. ':' .. known[1])
    answers[i] = 'due'
  end
end
return answers
