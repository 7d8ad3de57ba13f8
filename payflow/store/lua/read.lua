-- Reads records as they are.
--
-- KEYS  `{pf:SS}:seq` of each shard touched
-- ARGV  1 now in ms or 0 · 2 msgpack {{index into KEYS, id}, …}
-- gives {now, {fields…} or false for each}
--@include clock
--@include fields
local now = clock(ARGV[1])
local rows = {}
for i, ask in ipairs(cmsgpack.unpack(ARGV[2])) do
  local fields = redis.call('HMGET', string.sub(KEYS[ask[1]], 1, -4) .. 'rec:' .. ask[2], unpack(FIELDS))
  rows[i] = fields[1] and fields
end
return { now, rows }
