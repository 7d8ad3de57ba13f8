-- Gives back what was reserved of some limits for something that ended without using it, once, whatever is repeated.
--
-- KEYS  `pf:capped:<day>`
-- ARGV  1 what it was for · 2 units · 3 the version of it that was looked at: what a newer one reserved stays
-- gives 1 where it was given back, 0 where nothing of that version is reserved
--@include numbers
local key, name = KEYS[1], 'for:' .. ARGV[1]
local since, limits = string.match(redis.call('HGET', key, name) or '', '^(%d+)(.*)$')
if not since or tonumber(since) > tonumber(ARGV[3]) then return 0 end
redis.call('HDEL', key, name)
for limit in string.gmatch(limits, '|([^|]+)') do
  redis.call('HSET', key, limit, minus(redis.call('HGET', key, limit), ARGV[2]))
end
return 1
