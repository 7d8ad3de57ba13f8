-- Takes messages that are due, and learns what became of them.
--
-- KEYS  `{pf:SS}:seq` of each shard, all for 'take' and one for the rest
-- ARGV  1 now in ms or 0 · 2 action, and then
--       'take' limit lease_ms    gives {id, content, tries before, …} of due messages, not due again before the lease ends
--       'done' id                delivered: it is forgotten
--       'later' id after_ms      failed: tried again
--       'give_up' id             set aside for a person
--       'replay' id              taken up again from those set aside; gives 1, or 0 for an unknown id
--@include clock
local now, action = clock(ARGV[1]), ARGV[2]
local id = ARGV[3]

local function keys_of(key)
  local P = string.sub(key, 1, -4)
  return P .. 'outbox', P .. 'message', P .. 'undelivered'
end

if action == 'take' then
  local taken = {}
  for _, key in ipairs(KEYS) do
    local due, content = keys_of(key)
    for _, found in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, ARGV[3])) do
      local message = redis.call('HMGET', content, found, found .. '#tries')
      if message[1] then
        redis.call('ZADD', due, now + tonumber(ARGV[4]), found)
        taken[#taken + 1] = found
        taken[#taken + 1] = message[1]
        taken[#taken + 1] = tonumber(message[2] or '0')
      else
        redis.call('ZREM', due, found)
      end
    end
  end
  return taken
end

local due, content, aside = keys_of(KEYS[1])
if action == 'done' then
  redis.call('ZREM', due, id)
  redis.call('ZREM', aside, id)
  return redis.call('HDEL', content, id, id .. '#tries')
elseif redis.call('HEXISTS', content, id) == 0 then
  return 0 -- somebody else delivered it meanwhile
elseif action == 'later' then
  redis.call('ZADD', due, 'XX', now + tonumber(ARGV[4]), id)
  return redis.call('HINCRBY', content, id .. '#tries', 1)
elseif action == 'give_up' then
  redis.call('ZREM', due, id)
  return redis.call('ZADD', aside, now, id)
elseif redis.call('ZREM', aside, id) == 1 then
  redis.call('HDEL', content, id .. '#tries')
  return redis.call('ZADD', due, now, id)
end
return 0
