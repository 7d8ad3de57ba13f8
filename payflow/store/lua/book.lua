-- Books what a rail's statement says: a line, once under its reference; or what was in the wallet at a time, the newest one.
--
-- KEYS  `{pf:SS}:seq` of the rail's shard
-- ARGV  1 rail · 2 reference of a line, or what balance this is · 3 what is booked under it, or when the balance was read, in ms ·
--       4 'line' or 'balance' · 5 of a balance: what was seen of it, whole units · 6 and what is less than one · 7 how many changes
--       there are · 8… the changes, figure and by how much, in turn, those of a balance first in this order · … the postings
-- gives 1; 0 when it is booked already, or a newer balance is; -1 when another line is booked under the reference;
--       -2 when the balance is not as it was seen; -3 when a figure would be too large
local P = string.sub(KEYS[1], 1, -4)
local space, rails = P .. 'uniq:rail:' .. ARGV[1], P .. 'rails'
local known = redis.call('HGET', space, ARGV[2])
if known and ARGV[4] == 'line' then return known == ARGV[3] and 0 or -1 end
if known and tonumber(known) > tonumber(ARGV[3]) then return 0 end
local last = 7 + 2 * tonumber(ARGV[7])
for i = 8, last, 2 do
  local units = redis.call('HGET', rails, ARGV[i]) or '0'
  if ARGV[4] == 'balance' and units ~= ARGV[i == 8 and 5 or 6] then return -2 end
  if math.abs(units + ARGV[i + 1]) >= 4e18 then return -3 end
end
redis.call('HSET', space, ARGV[2], ARGV[3])
for i = 8, last, 2 do redis.call('HINCRBY', rails, ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV do redis.call('XADD', P .. 'journal', '*', 'e', ARGV[i]) end
return 1
