-- Books a payment as paid, and unlocks with the last pending row: once for each payment key.
--
-- ARGV  5 hash · 6 the members' extra field, what was kept back in wei, or '' · 7 '1' where a person has proof that it
--       was paid although the books have it as given back, or although somebody took its row away
-- gives {code, found}: done · already · row_gone · contradicts · broken
--@include books

local tx, charge, proven = ARGV[5], ARGV[6], ARGV[7] == '1'
local extra = charge == '' and '' or ':' .. charge

local wrong = fault()
if wrong then return { 'broken', wrong } end
local step = redis.call('HGET', applied, payment)
if step == 'paid:' .. tx then return { 'already', step } end
if step and string.sub(step, 1, 4) == 'paid' then return { 'contradicts', step } end
if step == 'credited' and not proven then return { 'contradicts', step } end
local open = redis.call('ZSCORE', pending, row) and step ~= 'credited'
if step == 'debited' and not open and not proven then return { 'row_gone', row } end

redis.call('HSET', applied, payment, 'paid:' .. tx)
if open then
  both('pending', negative(amount))
  both('paid', amount)
elseif step ~= 'debited' then
  -- The books never heard of it (a backup was restored), or had given it back. Where a person took the row away, he
  -- moved the sums too, and `audit` says what he forgot.
  both('balance', negative(amount))
  both('pending', '0') -- the debit would have made the field
  both('paid', amount)
end
if charge ~= '' then redis.call('HINCRBY', finances, 'txcharges', charge) end
redis.call('ZADD', all_payments, at, tx .. ':' .. login .. ':' .. amount .. extra)
redis.call('ZADD', payments, at, tx .. ':' .. amount .. extra)
if step ~= 'credited' then unpend() end
return { 'done', '' }
