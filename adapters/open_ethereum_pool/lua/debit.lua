-- Locks, takes an amount off a miner's balance, and logs it as pending: once for each payment key.
--
-- ARGV  5 what the lock may name already, or '' · 6 '1' to book what a restored Redis forgot, whatever it has
-- gives {code, found}: done · already · locked · pending · short · broken
--@include books

local known_lock, again = ARGV[5], ARGV[6] == '1'

local wrong = fault()
if wrong then return { 'broken', wrong } end
local step = redis.call('HGET', applied, payment)
if step then return { 'already', step } end
local held = redis.call('GET', lock)
if held and held ~= known_lock and not again then return { 'locked', held } end
for _, other in ipairs(redis.call('ZRANGE', pending, 0, -1)) do
  if string.sub(other, 1, #login + 1) == login .. ':' then return { 'pending', other } end
end
local balance = redis.call('HGET', miner, 'balance') or '0'
if not again and not at_least(balance, amount) then return { 'short', balance } end

redis.call('HSET', applied, payment, 'debited')
if not held then redis.call('SET', lock, row) end
both('balance', negative(amount))
both('pending', amount)
redis.call('ZADD', pending, at, row)
return { 'done', '' }
