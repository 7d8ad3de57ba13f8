-- Calls a payment off before it was debited, so that it never will be.
--
-- gives {code, found}: done · already · broken
--@include books

local wrong = redis.call('TYPE', applied).ok
if wrong ~= 'none' and wrong ~= 'hash' then return { 'broken', applied .. ' is a ' .. wrong } end
local step = redis.call('HGET', applied, payment)
if step then return { 'already', step } end

redis.call('HSET', applied, payment, 'skipped')
return { 'done', '' }
