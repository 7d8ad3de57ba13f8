-- Writes one line of the audit log behind the newest one, unless somebody else wrote one first.
--
-- KEYS  `pf:audit`
-- ARGV  1 how many lines there were when the newest was read · 2 the line, which begins with the hash of that one
-- gives 1, or 0 when there is another line meanwhile
if redis.call('LLEN', KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[2])
return 1
