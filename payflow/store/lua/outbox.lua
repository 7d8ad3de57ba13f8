-- Takes messages that are due, and learns what became of them.
--
-- KEYS  `{pf:SS}:seq` of each shard, all for 'take' and one for the rest
-- ARGV  1 now in ms or 0 · 2 action, and then
--       'take' limit lease_ms line   gives {id, content, tries before, …} of due messages of a line, or of all for '';
--              they are not due again before the lease ends
--       'done' id                delivered: it is forgotten
--       'later' id after_ms      failed: tried again
--       'give_up' id             set aside for a person
--       'replay' id              taken up again from those set aside; gives 1, or 0 for an unknown id
--@include clock
--@include lines
local now, action = clock(ARGV[1]), ARGV[2]
local id = ARGV[3]

local function keys_of(key)
  local P = string.sub(key, 1, -4)
  return P, P .. 'message', P .. 'undelivered'
end

if action == 'take' then
  local taken = {}
  local function take(content, line)
    for _, found in ipairs(redis.call('ZRANGEBYSCORE', line, '-inf', now, 'LIMIT', 0, ARGV[3])) do
      local message = redis.call('HMGET', content, found, found .. '#tries')
      if message[1] then
        redis.call('ZADD', line, now + tonumber(ARGV[4]), found)
        taken[#taken + 1] = found
        taken[#taken + 1] = message[1]
        taken[#taken + 1] = tonumber(message[2] or '0')
      else
        redis.call('ZREM', line, found)
      end
    end
  end
  for _, key in ipairs(KEYS) do
    local P, content = keys_of(key)
    for _, line in ipairs(lines(P)) do
      if ARGV[5] == '' or line == P .. ARGV[5] then take(content, line) end
    end
  end
  return taken
end

local P, content, aside = keys_of(KEYS[1])
local function leave()
  for _, line in ipairs(lines(P)) do redis.call('ZREM', line, id) end
end
if action == 'done' then
  leave()
  redis.call('ZREM', aside, id)
  return redis.call('HDEL', content, id, id .. '#tries')
end
local message = redis.call('HGET', content, id)
if not message then
  return 0 -- somebody else delivered it meanwhile
elseif action == 'later' then
  for _, line in ipairs(lines(P)) do redis.call('ZADD', line, 'XX', now + tonumber(ARGV[4]), id) end
  return redis.call('HINCRBY', content, id .. '#tries', 1)
elseif action == 'give_up' then
  leave()
  return redis.call('ZADD', aside, now, id)
elseif redis.call('ZREM', aside, id) == 1 then
  redis.call('HDEL', content, id .. '#tries')
  return redis.call('ZADD', line_of(P, message), now, id)
end
return 0
