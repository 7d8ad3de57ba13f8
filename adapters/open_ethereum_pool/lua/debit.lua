-- Locks, takes an amount off a miner's balance, and logs it as pending: once for each payment key.
--
-- ARGV  6 what the lock may name already, or '' · 7 '1' to book what the books forgot: a backup was restored, or our mark
--       is gone. A row of the same second is this payment's own; an amount that was booked since is not taken again.
-- gives {code, found}: done · already · locked · pending · booked · short · broken
--@include books

local known_lock, again = ARGV[6], ARGV[7] == '1'

local wrong = fault()
if wrong then return { 'broken', wrong } end
local step = redis.call('HGET', applied, payment)
if step then return { 'already', step } end
if again and redis.call('ZSCORE', pending, row) == row_at then
  redis.call('HSET', applied, payment, 'debited')
  return { 'done', row }
end
local booked = again and booked_since()
if booked then return { 'booked', booked } end
local held = redis.call('GET', lock)
if held and held ~= known_lock and not again then return { 'locked', held } end
for _, other in ipairs(redis.call('ZRANGE', pending, 0, -1)) do
  if string.sub(other, 1, #login + 1) == login .. ':' then return { 'pending', other } end
end
local balance = redis.call('HGET', miner, 'balance') or '0'
if not at_least(balance, amount) then return { 'short', balance } end

redis.call('HSET', applied, payment, 'debited')
if not held then redis.call('SET', lock, row) end
both('balance', negative(amount))
both('pending', amount)
redis.call('ZADD', pending, at, row)
return { 'done', '' }
