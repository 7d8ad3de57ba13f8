-- Writes the list of what an owner asked for anew, where it is as it was read.
--
-- KEYS  `{pf:SS}:seq` of their shard
-- ARGV  1 owner · 2 how many lines were read · 3… those, then the lines that take their place
-- gives 1, or 0 when somebody changed it meanwhile
local key, read = string.sub(KEYS[1], 1, -4) .. 'asked:' .. ARGV[1], tonumber(ARGV[2])
if redis.call('LLEN', key) ~= read then return 0 end
for i, line in ipairs(redis.call('LRANGE', key, 0, -1)) do
  if line ~= ARGV[2 + i] then return 0 end
end
redis.call('DEL', key)
for i = 3 + read, #ARGV do redis.call('RPUSH', key, ARGV[i]) end
return 1
