-- The lines of the outbox: what stops money, and what waits for somebody outside, each have their own, so that none of
-- them is behind another's.
local APART = { 'alarm', 'notify', 'webhook' }

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
