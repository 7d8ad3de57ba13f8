-- Takes the lock away, if it still names what was looked at and no row is pending.
--
-- KEYS  as books.lua · ARGV 6 what the lock must name
-- gives {code, found}: done · already · locked · pending · broken
--@include books

local wrong = fault()
if wrong then return { 'broken', wrong } end
local held = redis.call('GET', lock)
if not held then return { 'already', '' } end
if held ~= ARGV[6] then return { 'locked', held } end
local rows = redis.call('ZRANGE', pending, 0, 0)
if rows[1] then return { 'pending', rows[1] } end

redis.call('DEL', lock)
return { 'done', held }
