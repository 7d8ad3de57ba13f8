-- Counts anew what is reserved of some limits, and reserves what is missing to what is known to be used of them.
--
-- KEYS  `pf:credited:<platform>:<day>` or `pf:capped:<day>`
-- ARGV  1 '1' to put right what is not · 2 now in ms or 0 · 3 after how many ms all is forgotten · 4… each limit, and the least
--       that is used of it
-- gives {limit, what it said, what was reserved, what is used} of each that is not right
--@include clock
--@include numbers
local key, put_right, now = KEYS[1], ARGV[1] == '1', clock(ARGV[2])
local said, sums, found = {}, {}, {}
local fields = redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if string.sub(name, 1, 4) == 'for:' then
    local units = string.match(name, ' (%d+)$')
    for limit in string.gmatch(value, '|([^|]+)') do
      if units then sums[limit] = add(sums[limit] or '0', units) end
    end
  elseif string.sub(name, 1, 5) ~= 'full:' then
    said[name] = value
  end
end
local function compared(limit, least)
  local sum, says = sums[limit] or '0', said[limit] or '0'
  local used = less(sum, least) and least or sum
  if says == sum and used == sum then return end
  found[#found + 1] = { limit, says, sum, used }
  if not put_right then return end
  if used ~= sum then
    redis.call('HSET', key, string.format('for:counted anew at %d %s %s', now, limit, minus(used, sum)), '0|' .. limit)
  end
  redis.call('HSET', key, limit, used)
end
local least, limits = {}, {}
for i = 4, #ARGV, 2 do least[ARGV[i]] = ARGV[i + 1] end
for _, known in ipairs({ said, sums, least }) do
  for limit in pairs(known) do limits[limit] = true end
end
for limit in pairs(limits) do compared(limit, least[limit] or '0') end
if put_right and #found > 0 then redis.call('PEXPIRE', key, ARGV[3]) end
return found
