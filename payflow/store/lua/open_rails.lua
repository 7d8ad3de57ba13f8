-- Posts what records, or what is left of archived ones, have on their rails' side and an older version did not post.
--
-- KEYS  `{pf:SS}:seq` of their shard
-- ARGV  1 how many rows · each row: 'rec' or 'tomb', id, its version or tombstone as it was read, its share then, its share or
--       tombstone from now on · how many changes · each change: figure, by how much · … the postings
-- gives 1; 0 when one of them is not as it was read; -3 when a figure would be too large
local P = string.sub(KEYS[1], 1, -4)
local rows = tonumber(ARGV[1])
local changes = 2 + 5 * rows
local last = changes + 2 * tonumber(ARGV[changes])
for i = 2, changes - 1, 5 do
  local kind, id, seen, share = unpack(ARGV, i, i + 3)
  if kind == 'tomb' then
    if redis.call('HGET', P .. 'tomb', id) ~= seen then return 0 end
  else
    local version, posted = unpack(redis.call('HMGET', P .. 'rec:' .. id, 'ver', 'share'))
    if version ~= seen or (posted or '') ~= share then return 0 end
  end
end
for i = changes + 1, last, 2 do
  if math.abs((redis.call('HGET', P .. 'rails', ARGV[i]) or 0) + ARGV[i + 1]) >= 4e18 then return -3 end
end
for i = 2, changes - 1, 5 do
  local kind, id, fresh = ARGV[i], ARGV[i + 1], ARGV[i + 4]
  if kind == 'tomb' then
    redis.call('HSET', P .. 'tomb', id, fresh)
  elseif fresh == '' then
    redis.call('HDEL', P .. 'rec:' .. id, 'share')
  else
    redis.call('HSET', P .. 'rec:' .. id, 'share', fresh)
  end
end
for i = changes + 1, last, 2 do redis.call('HINCRBY', P .. 'rails', ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV do redis.call('XADD', P .. 'journal', '*', 'e', ARGV[i]) end
return 1
