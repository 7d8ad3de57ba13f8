-- Writes nonce and hash of a pending payment down where open-etc-pool looks for them.
--
-- ARGV  6 hash · 7 nonce
-- gives {code, found}: done · already · row_gone · contradicts · broken
--@include books

local tx, nonce = ARGV[6], ARGV[7]

local wrong = fault()
if wrong then return { 'broken', wrong } end
local step = redis.call('HGET', applied, payment)
if step ~= 'debited' then return { 'contradicts', step or 'unknown' } end
if not redis.call('ZSCORE', pending, row) then return { 'row_gone', row } end
if redis.call('HGET', pending_tx, row) == tx and redis.call('HGET', pending_nonce, row) == nonce then
  return { 'already', step }
end

redis.call('HSET', pending_nonce, row, nonce)
redis.call('HSET', pending_tx, row, tx)
return { 'done', '' }
