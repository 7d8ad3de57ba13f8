-- The lines of the outbox: what stops money, and what waits for somebody outside, each have their own, so that none of
-- them is behind another's.
local APART = { 'alarm', 'notify', 'webhook', 'delivery' }
local ORDERED = { webhook = true, delivery = true }

local function lines(P)
  local found = { P .. 'outbox' }
  for _, kind in ipairs(APART) do found[#found + 1] = P .. 'outbox:' .. kind end
  return found
end

-- Finds the line of a message by its kind, which stands first in its content: an array of four, then a short text.
local function line_of(P, content)
  local length = string.byte(content, 2)
  local named = length and string.sub(content, 3, length - 158)
  for _, kind in ipairs(APART) do
    if kind == named then return P .. 'outbox:' .. kind end
  end
  return P .. 'outbox'
end

-- What a platform hears of one record it hears in its order. All that waits of these two lines is in one set, by record,
-- endpoint, version and number, so that whatever is to go before a message stands right before it there.
local function is_ordered(P, line) return ORDERED[string.sub(line, #P + #'outbox:' + 1)] end

local function place_of(id)
  local record, version, number, endpoint = string.match(id, '^([^/]*)/(%d+)/(%d+)@?(.*)$')
  return record and string.format('%s@%s/%012d/%06d', record, endpoint, version, number) or id
end

local function enqueue(P, at, id, content)
  local line = line_of(P, content)
  redis.call('HSET', P .. 'message', id, content)
  redis.call('ZADD', line, at, id)
  if is_ordered(P, line) then redis.call('ZADD', P .. 'in-order', 0, place_of(id)) end
end
