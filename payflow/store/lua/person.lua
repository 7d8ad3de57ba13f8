-- Writes a person, unless somebody changed them since they were read, or another person has one of their names.
--
-- KEYS  `pf:persons`
-- ARGV  1 their name, in small letters · 2 version that was read, 0 for none · 3 the person · 4… all names of theirs, in small letters
-- gives the new version; 0 when somebody changed them meanwhile; or the name that is another one's
local row = redis.call('HGET', KEYS[1], 'person:' .. ARGV[1])
local version = tonumber(row and string.match(row, '^%d+') or '0')
if version ~= tonumber(ARGV[2]) then return 0 end
for i = 4, #ARGV do
  local whose = redis.call('HGET', KEYS[1], 'name:' .. ARGV[i])
  if whose and whose ~= ARGV[1] then return ARGV[i] end
end
for i = 4, #ARGV do redis.call('HSET', KEYS[1], 'name:' .. ARGV[i], ARGV[1]) end
redis.call('HSET', KEYS[1], 'person:' .. ARGV[1], (version + 1) .. ' ' .. ARGV[3])
return version + 1
