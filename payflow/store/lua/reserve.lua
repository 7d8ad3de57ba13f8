-- Reserves a part of each of some limits under the name of what it is for: of all or of none, once, whatever is repeated.
--
-- KEYS  `pf:credited:<platform>:<day>` or `pf:capped:<day>`
-- ARGV  1 what it is for · 2 units · 3 the version of it that asks · 4 now in ms or 0 · 5 after how many ms all is forgotten ·
--       6… each limit, and the most units of it in all
-- gives '' where it is reserved, now or before; else the first limit that would be passed
--@include clock
--@include numbers
local key, units, version = KEYS[1], ARGV[2], tonumber(ARGV[3])
local name = 'for:' .. ARGV[1]
local before = redis.call('HGET', key, name)
if before then
  -- Whoever looked at an older version of it may not give it back any more.
  local since, limits = string.match(before, '^(%d+)(.*)$')
  if since and tonumber(since) < version then redis.call('HSET', key, name, version .. limits) end
  return ''
end
local sums, limits = {}, ''
for i = 6, #ARGV, 2 do
  local sum = add(redis.call('HGET', key, ARGV[i]) or '0', units)
  if less(ARGV[i + 1], sum) then
    redis.call('HSET', key, 'full:' .. ARGV[i], clock(ARGV[4]))
    redis.call('PEXPIRE', key, ARGV[5])
    return ARGV[i]
  end
  sums[#sums + 1] = ARGV[i]
  sums[#sums + 1] = sum
  limits = limits .. '|' .. ARGV[i]
end
redis.call('HSET', key, name, version .. limits, unpack(sums))
redis.call('PEXPIRE', key, ARGV[5])
return ''
