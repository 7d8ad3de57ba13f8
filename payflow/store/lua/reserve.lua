-- Reserves a part of a limit under the name of what it is for: once, whatever is repeated, and nothing beyond the limit.
--
-- KEYS  `pf:credited:<platform>:<day>`
-- ARGV  1 what it is for · 2 asset · 3 units · 4 most units of the asset in all · 5 after how many ms it is forgotten
-- gives 1 where it is reserved, now or before; 0 where that would be more than the limit
--@include numbers
local name = 'for:' .. ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3]
if redis.call('HEXISTS', KEYS[1], name) == 1 then return 1 end
local sum = add(redis.call('HGET', KEYS[1], ARGV[2]) or '0', ARGV[3])
if less(ARGV[4], sum) then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], sum, name, '')
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
