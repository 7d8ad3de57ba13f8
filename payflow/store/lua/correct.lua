-- Writes what two people decided about a false account: its figures, or the posting that the journal lacks.
--
-- KEYS  `{pf:SS}:seq` of the owner's shard
-- ARGV  1 owner · 2 asset · 3 its figures as they were seen, `available held paid funded owed` · 4 what they become ·
--       5 the posting, or '' for none
-- gives 1, or 0 when the account is not as it was seen
local PARTS = { 'available', 'held', 'paid', 'funded', 'owed' }
local P = string.sub(KEYS[1], 1, -4)
local account = P .. 'acct:' .. ARGV[1]
local seen = {}
for i, part in ipairs(PARTS) do seen[i] = redis.call('HGET', account, ARGV[2] .. '.' .. part) or '0' end
if table.concat(seen, ' ') ~= ARGV[3] then return 0 end
local place = 1
for figure in string.gmatch(ARGV[4], '%S+') do
  if figure ~= seen[place] then redis.call('HSET', account, ARGV[2] .. '.' .. PARTS[place], figure) end
  place = place + 1
end
if ARGV[5] ~= '' then redis.call('XADD', P .. 'journal', '*', 'e', ARGV[5]) end
return 1
