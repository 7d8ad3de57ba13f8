-- Gives a debited payment back to the miner's balance, and unlocks with the last pending row: once for each payment key.
--
-- gives {code, found}: done · already · row_gone · contradicts · broken
--@include books

local wrong = fault()
if wrong then return { 'broken', wrong } end
local step = redis.call('HGET', applied, payment)
if step == 'credited' then return { 'already', step } end
if step and string.sub(step, 1, 4) == 'paid' then return { 'contradicts', step } end
local open = redis.call('ZSCORE', pending, row)
if step == 'debited' and not open then return { 'row_gone', row } end

redis.call('HSET', applied, payment, 'credited')
-- Without its row and unknown to the books: a backup from before the debit was restored, so nothing was taken.
if open then
  both('balance', amount)
  both('pending', negative(amount))
  unpend()
end
return { 'done', '' }
