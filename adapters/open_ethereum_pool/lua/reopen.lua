-- Takes a payment that is booked and never came back into the list of pending ones, as a payment of ours.
--
-- ARGV  6 the hash that it is booked with · 7 the members' extra field in wei, or ''
-- gives {code, found}: done · already · locked · pending · row_gone · broken
--@include books

local extra = ARGV[7] == '' and '' or ':' .. ARGV[7]
local in_all, own = ARGV[6] .. ':' .. row .. extra, ARGV[6] .. ':' .. amount .. extra

local wrong = fault()
if wrong then return { 'broken', wrong } end
local step = redis.call('HGET', applied, payment)
if step then return { 'already', step } end
if not redis.call('ZSCORE', payments, own) then return { 'row_gone', own } end
local held = redis.call('GET', lock)
if held then return { 'locked', held } end
for _, other in ipairs(redis.call('ZRANGE', pending, 0, -1)) do
  if string.sub(other, 1, #login + 1) == login .. ':' then return { 'pending', other } end
end

redis.call('HSET', applied, payment, 'debited')
redis.call('SET', lock, row)
both('paid', negative(amount))
both('pending', amount)
if ARGV[7] ~= '' then redis.call('HINCRBY', finances, 'txcharges', negative(ARGV[7])) end
redis.call('ZREM', all_payments, in_all)
redis.call('ZREM', payments, own)
redis.call('ZADD', pending, at, row)
return { 'done', '' }
