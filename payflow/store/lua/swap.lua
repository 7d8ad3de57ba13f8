-- Writes one field of a hash anew, if it is as it was read: only how it is sealed changes, and nothing that it says.
--
-- KEYS  the hash
-- ARGV  1 field · 2 as it was read · 3 as it is now · 4… further fields and their values, in turn
-- gives 1, or 0 when somebody changed it meanwhile
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], unpack(ARGV, 3))
return 1
