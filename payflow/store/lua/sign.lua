-- Signs a record as two people saw it.
--
-- KEYS  `{pf:SS}:seq` of its shard
-- ARGV  1 id · 2 version · 3 hash of its newest event · 4 the signature
-- gives 1, or 0 when it is not as it was seen
local rec = string.sub(KEYS[1], 1, -4) .. 'rec:' .. ARGV[1]
local ver, newest = unpack(redis.call('HMGET', rec, 'ver', 'hash'))
if ver ~= ARGV[2] or newest ~= ARGV[3] then return 0 end
redis.call('HSET', rec, 'mac', ARGV[4])
return 1
