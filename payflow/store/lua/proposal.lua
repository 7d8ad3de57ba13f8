-- Keeps what waits for a second person, and lets exactly one take it off again.
--
-- KEYS  `pf:proposed`
-- ARGV  1 action · 2 what it is about · 3 the hash that names the proposal, and then
--       'make' content at forgotten_before most
--              gives 1, 0 when another one waits for the same, -1 when too many wait; older ones are forgotten first
--       'take' gives 1, or 0 when it is not there any more, or another one is in its place
local all, about, digest = KEYS[1], ARGV[2], ARGV[3]

local function times(value)
  return string.match(value, '^(%x+) (%d+) ')
end

if ARGV[1] == 'take' then
  local there = redis.call('HGET', all, about)
  if not there or times(there) ~= digest then return 0 end
  return redis.call('HDEL', all, about)
end

local count = 0
local found = redis.call('HGETALL', all)
for i = 1, #found, 2 do
  local _, at = times(found[i + 1])
  if not at or tonumber(at) <= tonumber(ARGV[6]) then
    redis.call('HDEL', all, found[i])
  elseif found[i] == about then
    return 0
  else
    count = count + 1
  end
end
if count >= tonumber(ARGV[7]) then return -1 end
redis.call('HSET', all, about, digest .. ' ' .. ARGV[5] .. ' ' .. ARGV[4])
return 1
