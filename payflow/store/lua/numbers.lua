-- Amounts are decimal strings: a Lua number is a double and cannot hold 2^53 + 1.
-- Sums are made in two halves of nine digits, each of which a double holds exactly.
local MAX = '999999999999999999'

local function less(a, b)
  return #a < #b or (#a == #b and a < b)
end

local function halves(a)
  return tonumber(string.sub(a, 1, -10)) or 0, tonumber(string.sub(a, -9))
end

local function joined(high, low)
  if high == 0 then return string.format('%d', low) end
  return string.format('%d%09d', high, low)
end

local function add(a, b)
  local ah, al = halves(a)
  local bh, bl = halves(b)
  local low = al + bl
  if low >= 1e9 then return joined(ah + bh + 1, low - 1e9) end
  return joined(ah + bh, low)
end

-- a must not be less than b.
local function minus(a, b)
  local ah, al = halves(a)
  local bh, bl = halves(b)
  local low = al - bl
  if low < 0 then return joined(ah - bh - 1, low + 1e9) end
  return joined(ah - bh, low)
end
