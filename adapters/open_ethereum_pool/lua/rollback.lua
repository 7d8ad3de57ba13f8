-- Gives a debited payment back to the miner's balance, and unlocks with the last pending row: once for each payment key.
--
-- gives {code, found}: done · already · row_gone · contradicts · broken
--@include books

local wrong = fault()
if wrong then return { 'broken', wrong } end
local step = redis.call('HGET', applied, payment)
if step == 'credited' then return { 'already', step } end
if step and string.sub(step, 1, 4) == 'paid' then return { 'contradicts', step } end
local open = own_row(step)
-- The old module's RESOLVE gave it back already. Where the history has the amount, it was paid instead.
local given_back = step == 'debited' and not open and not other_row() and sum_was_moved() and not booked_since()
if step == 'debited' and not open and not given_back then return { 'row_gone', row } end

redis.call('HSET', applied, payment, 'credited')
-- Without its row and unknown to the books: a backup from before the debit was restored, so nothing was taken.
if open then
  both('balance', amount)
  both('pending', negative(amount))
  unpend()
end
return { 'done', '' }
