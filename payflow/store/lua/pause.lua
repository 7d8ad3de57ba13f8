-- Changes what is paused, if it is as it was read.
--
-- KEYS  `pf:pause`
-- ARGV  1 the signature of all of it as it was read, '' for none · 2 the one that it has now · 3… scopes and what is said of
--       them, in turn; of one that is not paused any more nothing
-- gives 1, or 0 when somebody changed it meanwhile
if (redis.call('HGET', KEYS[1], '#signature') or '') ~= ARGV[1] then return 0 end
for i = 3, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[1], ARGV[i]) else redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], '#signature', ARGV[2]) end
return 1
