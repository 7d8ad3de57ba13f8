-- Takes messages that are due, and learns what became of them.
--
-- KEYS  `{pf:SS}:seq` of each shard, all for 'take' and one for the rest
-- ARGV  1 now in ms or 0 · 2 action, and then
--       'take' limit lease_ms line   gives {id, content, tries before, …} of due messages of a line, or of all for '';
--              they are not due again before the lease ends
--       'done' id                delivered: it is forgotten
--       'later' id after_ms failed   tried again; counted as a try unless failed is 0
--       'give_up' id             set aside for a person
--       'replay' id              taken up again from those set aside; gives 1, or 0 for an unknown id
--       'spread' id content endpoint…   becomes a message for each of these endpoints
--       'again' id content       delivered once more, whatever became of it
--@include clock
--@include lines
local now, action = clock(ARGV[1]), ARGV[2]
local id = ARGV[3]
local MOST_ROUNDS = 20

local function keys_of(key)
  local P = string.sub(key, 1, -4)
  return P, P .. 'message', P .. 'undelivered'
end

-- Gives the first message of the record and the endpoint of a place.
local function first_of(P, place)
  local group = string.match(place, '^[^/]*/')
  local first = group and redis.call('ZRANGEBYLEX', P .. 'in-order', '[' .. group, '(' .. group .. '~', 'LIMIT', 0, 1)[1]
  if not first then return end
  local record, endpoint, version, number = string.match(first, '^(.-)@([^/]*)/0*(%d+)/0*(%d+)$')
  return first, record .. '/' .. version .. '/' .. number .. (endpoint ~= '' and '@' .. endpoint or '')
end

-- Gives when a message is due that must go before another one. What an older version wrote waits for none.
local function before(P, line, other)
  local place = place_of(other)
  if not is_ordered(P, line) or not redis.call('ZSCORE', P .. 'in-order', place) then return end
  while true do
    local first, name = first_of(P, place)
    if first == place then return end
    local due = redis.call('ZSCORE', line, name)
    if due then return tonumber(due) end
    redis.call('ZREM', P .. 'in-order', first) -- an older version delivered it
  end
end

if action == 'take' then
  local taken = {}
  local function take(P, content, line)
    local room = tonumber(ARGV[3])
    for _ = 1, MOST_ROUNDS do
      local due = redis.call('ZRANGEBYSCORE', line, '-inf', now, 'LIMIT', 0, room)
      for _, found in ipairs(due) do
        local message = redis.call('HMGET', content, found, found .. '#tries')
        local waits_for = before(P, line, found)
        if not message[1] then
          redis.call('ZREM', line, found)
          redis.call('ZREM', P .. 'in-order', place_of(found))
        elseif waits_for then
          redis.call('ZADD', line, math.max(now, waits_for) + 1, found)
        else
          redis.call('ZADD', line, now + tonumber(ARGV[4]), found)
          taken[#taken + 1] = found
          taken[#taken + 1] = message[1]
          taken[#taken + 1] = tonumber(message[2] or '0')
          room = room - 1
        end
      end
      if room < 1 or #due == 0 then return end
    end
  end
  for _, key in ipairs(KEYS) do
    local P, content = keys_of(key)
    for _, line in ipairs(lines(P)) do
      if ARGV[5] == '' or line == P .. ARGV[5] then take(P, content, line) end
    end
  end
  return taken
end

local P, content, aside = keys_of(KEYS[1])
local function leave()
  for _, line in ipairs(lines(P)) do redis.call('ZREM', line, id) end
  local place = place_of(id)
  if redis.call('ZREM', P .. 'in-order', place) == 0 then return end
  local _, following = first_of(P, place)
  if not following then return end
  for _, line in ipairs(lines(P)) do redis.call('ZADD', line, 'XX', now, following) end
  redis.call('PUBLISH', 'pf:wake', 'outbox')
end
if action == 'done' then
  leave()
  redis.call('ZREM', aside, id)
  return redis.call('HDEL', content, id, id .. '#tries')
elseif action == 'again' then
  redis.call('ZREM', aside, id)
  redis.call('HDEL', content, id .. '#tries')
  enqueue(P, now, id, ARGV[4])
  redis.call('PUBLISH', 'pf:wake', 'outbox')
  return 1
end
local message = redis.call('HGET', content, id)
if not message then
  return 0 -- somebody else delivered it meanwhile
elseif action == 'later' then
  for _, line in ipairs(lines(P)) do redis.call('ZADD', line, 'XX', now + tonumber(ARGV[4]), id) end
  return ARGV[5] == '0' and 1 or redis.call('HINCRBY', content, id .. '#tries', 1)
elseif action == 'give_up' then
  leave()
  return redis.call('ZADD', aside, now, id)
elseif action == 'spread' then
  for i = 5, #ARGV do enqueue(P, now, id .. '@' .. ARGV[i], ARGV[4]) end
  leave()
  redis.call('PUBLISH', 'pf:wake', 'outbox')
  return redis.call('HDEL', content, id, id .. '#tries')
elseif redis.call('ZREM', aside, id) == 1 then
  redis.call('HDEL', content, id .. '#tries')
  enqueue(P, now, id, message)
  return 1
end
return 0
