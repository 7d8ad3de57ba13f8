-- Folds the oldest postings into sums, so that the books can still be checked without them.
--
-- KEYS  `{pf:SS}:seq` of the shard
-- ARGV  1 the last posting that the sums were made from so far, '' for none · 2 the last one that they have now
--       3 the first one to keep · 4 what is stated of the oldest postings, as it was read ·
--       5 what is stated of all of them up to the last one, signed, '' for nothing new · 6… the sums: `owner asset`, and `available held paid funded owed`, in turn
-- gives 1, or 0 when somebody else folded postings meanwhile
local P = string.sub(KEYS[1], 1, -4)
local sums = P .. 'checkpoint'
if (redis.call('HGET', sums, 'until') or '') ~= ARGV[1] then return 0 end
if (redis.call('HGET', P .. 'posted', 'stated') or '') ~= ARGV[4] then return 0 end
for i = 6, #ARGV, 2 do redis.call('HSET', sums, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', sums, 'until', ARGV[2])
if ARGV[5] ~= '' then redis.call('HSET', P .. 'posted', 'stated', ARGV[5]) end
redis.call('XTRIM', P .. 'journal', 'MINID', ARGV[3])
return 1
