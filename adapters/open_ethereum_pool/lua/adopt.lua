-- Takes a pending row that somebody else left over as a payment of ours, which is debited already.
--
-- gives {code, found}: done · already · row_gone · broken
--@include books

local wrong = fault()
if wrong then return { 'broken', wrong } end
local step = redis.call('HGET', applied, payment)
if step then return { 'already', step } end
if not redis.call('ZSCORE', pending, row) then return { 'row_gone', row } end

redis.call('HSET', applied, payment, 'debited')
if redis.call('EXISTS', lock) == 0 then redis.call('SET', lock, row) end
return { 'done', '' }
