-- Says of some rows what they are, or that they are gone, in a part of the list of rows that is as it was read.
--
-- KEYS  `pf:rows:<bucket>`
-- ARGV  1 what is signed of all of it as it was read, '' for nothing · 2 the same as it is now · 3… rows, and what the list says
--       of each, in turn; of one that is gone nothing
-- gives 1, or 0 when somebody changed it meanwhile
if (redis.call('HGET', KEYS[1], '#') or '') ~= ARGV[1] then return 0 end
for i = 3, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[1], ARGV[i]) else redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('HSET', KEYS[1], '#', ARGV[2])
return 1
