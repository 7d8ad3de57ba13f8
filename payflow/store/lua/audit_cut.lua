-- Takes lines off the front of the audit log, and puts one in their place that says so.
--
-- KEYS  `pf:audit`
-- ARGV  1 the first line, as it was read · 2 how many lines go · 3 what stands in their place
-- gives 1, or 0 when somebody else did so meanwhile
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] then return 0 end
redis.call('LTRIM', KEYS[1], ARGV[2], -1)
redis.call('LPUSH', KEYS[1], ARGV[3])
return 1
