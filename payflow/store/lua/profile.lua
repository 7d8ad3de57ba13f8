-- Writes a provider's profile, or a contributor's address, unless somebody changed it since it was read; and with it,
-- what must be told about that.
--
-- KEYS  `{pf:SS}:seq` of the owner's shard
-- ARGV  1 now in ms or 0 · 2 `provider:` or `contributor:` and the owner · 3 version that was read, 0 for none · 4 profile · 5 id that the messages go under ·
--       6 the signature · 7… messages
-- gives the new version, or 0 when somebody changed the profile meanwhile
--@include clock
--@include lines
local P = string.sub(KEYS[1], 1, -4)
local key = P .. ARGV[2]
local version = tonumber(redis.call('HGET', key, 'version') or '0')
if version ~= tonumber(ARGV[3]) then return 0 end
version = version + 1
for i = 7, #ARGV do
  enqueue(P, clock(ARGV[1]), ARGV[5] .. '/' .. version .. '/' .. i - 6, ARGV[i])
end
if #ARGV > 6 then redis.call('PUBLISH', 'pf:wake', 'outbox') end
redis.call('HSET', key, 'profile', ARGV[4], 'version', version, 'mac', ARGV[6])
return version
