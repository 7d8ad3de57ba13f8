-- Adds the history of a payment that the pool made and did not log; sums are the business of `audit`.
--
-- ARGV  6 hash · 7 the members' extra field in wei, or ''
-- gives {code, found}: done · already · broken
--@include books

local extra = ARGV[7] == '' and '' or ':' .. ARGV[7]
local in_all, own = ARGV[6] .. ':' .. row .. extra, ARGV[6] .. ':' .. amount .. extra

local wrong = fault()
if wrong then return { 'broken', wrong } end
local has_all, has_own = redis.call('ZSCORE', all_payments, in_all), redis.call('ZSCORE', payments, own)
if has_all and has_own then return { 'already', in_all } end

-- A row that is there keeps its time.
if not has_all then redis.call('ZADD', all_payments, has_own or at, in_all) end
if not has_own then redis.call('ZADD', payments, has_all or at, own) end
return { 'done', in_all }
