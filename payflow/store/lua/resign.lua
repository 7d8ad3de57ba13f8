-- Signs a hash as it was read.
--
-- KEYS  the hash
-- ARGV  1 the signature · 2… its fields and their values, in turn, as they were read
-- gives 1, or 0 when it is not as it was read
for i = 2, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[i + 1] then return 0 end
end
redis.call('HSET', KEYS[1], 'mac', ARGV[1])
return 1
