-- Writes what two people decided about a false account: its figures, or the posting that the journal lacks.
--
-- KEYS  `{pf:SS}:seq` of the account's shard
-- ARGV  1 the account, `acct:<owner>` or `rails` · 2 asset, behind the rail · 3 its figures as they were seen, `name units name units …` ·
--       4 what they become, under the same names · 5 the posting, or '' for none
-- gives 1, or 0 when the account is not as it was seen
local P = string.sub(KEYS[1], 1, -4)
local account, seen = P .. ARGV[1], {}
for part, figure in string.gmatch(ARGV[3], '(%S+) (%S+)') do
  seen[part] = figure
  if (redis.call('HGET', account, ARGV[2] .. '.' .. part) or '0') ~= figure then return 0 end
end
for part, figure in string.gmatch(ARGV[4], '(%S+) (%S+)') do
  if figure ~= seen[part] then redis.call('HSET', account, ARGV[2] .. '.' .. part, figure) end
end
if ARGV[5] ~= '' then redis.call('XADD', P .. 'journal', '*', 'e', ARGV[5]) end
return 1
