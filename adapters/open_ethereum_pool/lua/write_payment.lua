-- Books a payment as paid, and unlocks with the last pending row: once for each payment key, and once for each
-- transaction: a history that has this transaction with this amount is the booking, whatever our mark says.
--
-- ARGV  6 hash · 7 the members' extra field, what was kept back in wei, or '' · 8 '1' where a person has proof that it
--       was paid although the books have it as given back, or although somebody took its row away
-- gives {code, found}: done · already · row_gone · booked · pending · contradicts · broken
--@include books

local tx, charge, proven = ARGV[6], ARGV[7], ARGV[8] == '1'
local extra = charge == '' and '' or ':' .. charge
local in_all, own = tx .. ':' .. row, tx .. ':' .. amount

local wrong = fault()
if wrong then return { 'broken', wrong } end
local step = redis.call('HGET', applied, payment)
if step == 'paid:' .. tx then return { 'already', step } end
if step and string.sub(step, 1, 4) == 'paid' then return { 'contradicts', step } end
if step == 'credited' and not proven then return { 'contradicts', step } end
-- The manual procedure knows no extra field.
local has_all = redis.call('ZSCORE', all_payments, in_all .. extra) or redis.call('ZSCORE', all_payments, in_all)
local has_own = redis.call('ZSCORE', payments, own .. extra) or redis.call('ZSCORE', payments, own)
local booked = has_all or has_own
local open = step ~= 'credited' and own_row(step)
local taken = step == 'debited' and not open and not booked
if taken and not proven then return { 'row_gone', row } end
local other = taken and booked_since()
if other then return { 'booked', other } end
local beside = taken and other_row()
if beside then return { 'pending', beside } end

redis.call('HSET', applied, payment, 'paid:' .. tx)
if open then
  both('pending', negative(amount))
  both('paid', amount)
elseif step == 'credited' or (taken and sum_was_moved()) or (not step and not booked) then
  -- It was given back, by us or by the old module's RESOLVE, or the books never heard of it (a backup was restored).
  both('balance', negative(amount))
  both('pending', '0') -- the debit would have made the field
  both('paid', amount)
end
-- Else whoever took the row away by hand, or wrote the history, moved the sums too, and `audit` says what they forgot.
if charge ~= '' and not booked then redis.call('HINCRBY', finances, 'txcharges', charge) end
if not has_all then redis.call('ZADD', all_payments, has_own or at, in_all .. extra) end
if not has_own then redis.call('ZADD', payments, has_all or at, own .. extra) end
if open then
  unpend()
elseif step ~= 'credited' and redis.call('GET', lock) == row and redis.call('ZCARD', pending) == 0 then
  redis.call('DEL', lock)
end
return { 'done', booked and tx or '' }
