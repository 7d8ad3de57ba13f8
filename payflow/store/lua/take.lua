-- Takes tokens of a rate that the whole fleet shares: so many a second, at most one second's worth saved up, or one.
--
-- KEYS  `pf:rate:<name>`
-- ARGV  1 now in ms or 0 · 2 tokens a second · 3 tokens wanted (below zero: given back)
-- gives {tokens granted, ms until the next one}
--@include clock
local now, rate, wanted = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local most = math.max(1, rate)
local known = redis.call('HMGET', KEYS[1], 'saved', 'at')
local saved = math.min(most, (tonumber(known[1]) or most) + math.max(0, now - (tonumber(known[2]) or now)) * rate / 1000)
local granted = math.min(wanted, math.floor(saved))
saved = math.min(most, saved - granted)
redis.call('HSET', KEYS[1], 'saved', tostring(saved), 'at', now)
redis.call('PEXPIRE', KEYS[1], math.max(60000, math.ceil(most * 1000 / rate)))
local missing = math.max(0, math.ceil((1 - saved) * 1000 / rate))
return { granted, missing }
