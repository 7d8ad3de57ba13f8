-- Adds to fields of hashes, if each still has what it had when the repair was shown.
--
-- KEYS  the hash of each change · ARGV three for each change: field, what it has ('' for nothing), what is added
-- gives {code, found}: done · contradicts · broken

for place, key in ipairs(KEYS) do
  local field, has = ARGV[place * 3 - 2], ARGV[place * 3 - 1]
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= 'hash' then return { 'broken', key .. ' is a ' .. found .. ' and should be a hash' } end
  local value = redis.call('HGET', key, field) or ''
  if value ~= has then return { 'contradicts', key .. ' ' .. field .. ' is ' .. value .. ' now and not ' .. has } end
  if value ~= '' and value ~= '0' and not string.match(value, '^%-?[1-9]%d*$') or #value > 19 then
    return { 'broken', key .. ' has the ' .. field .. ' ' .. value }
  end
end

for place, key in ipairs(KEYS) do redis.call('HINCRBY', key, ARGV[place * 3 - 2], ARGV[place * 3]) end
return { 'done', '' }
