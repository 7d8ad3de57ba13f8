-- What every change of a pool's books begins with: the keys by name, and what must be so before the first write.
--
-- KEYS  1 ours: payment key → step · 2 lock · 3 pending rows · 4 miner · 5 finances · 6 all payments
--       7 the miner's payments · 8 pendingtx · 9 pendingnonce
-- ARGV  1 payment key · 2 login · 3 amount in Shannon · 4 the second that rows are written with
--       5 the second that its pending row was written with, or '' where that is not known
--
-- Redis does not take a script back, so all is checked before the first write. Numbers are compared as text: a Lua
-- number is a double, and Shannon need 63 bits. With at most 18 digits on both sides no HINCRBY can overflow.
local applied, lock, pending, miner, finances = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local all_payments, payments, pending_tx, pending_nonce = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local payment, login, amount, at, row_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local row = login .. ':' .. amount
local MOST_DIGITS = 18
-- What was kept back is counted in wei, so that it comes closer to 63 bits than the Shannon ever do.
local MOST_CHARGES = '9000000000000000000'

local TYPES = { 'hash', 'string', 'zset', 'hash', 'hash', 'zset', 'zset', 'hash', 'hash' }

local function number_fault(key, field, most)
  local value = redis.call('HGET', key, field)
  if not value or value == '0' then return nil end
  local digits = string.match(value, '^%-?([1-9]%d*)$')
  if not digits then return key .. ' has the ' .. field .. ' ' .. string.sub(value, 1, 30) .. ', which is no whole number' end
  if #digits > (most and #most or MOST_DIGITS) or (most and #digits == #most and digits > most) then
    return key .. ' has the ' .. field .. ' ' .. value .. ', which is too large to count with'
  end
end

-- Gives what is wrong with the books, or nil.
local function fault()
  for place, wanted in ipairs(TYPES) do
    local found = redis.call('TYPE', KEYS[place]).ok
    if found ~= 'none' and found ~= wanted then return KEYS[place] .. ' is a ' .. found .. ' and should be a ' .. wanted end
  end
  for _, key in ipairs({ miner, finances }) do
    for _, field in ipairs({ 'balance', 'pending', 'paid' }) do
      local found = number_fault(key, field)
      if found then return found end
    end
  end
  return number_fault(finances, 'txcharges', MOST_CHARGES)
end

local function negative(value) return string.sub(value, 1, 1) == '-' and value or '-' .. value end

-- Adds to a field of the miner and to the same of the finances.
local function both(field, by)
  redis.call('HINCRBY', miner, field, by)
  redis.call('HINCRBY', finances, field, by)
end

local function at_least(balance, wanted)
  if string.sub(balance, 1, 1) == '-' then return false end
  if #balance ~= #wanted then return #balance > #wanted end
  return balance >= wanted
end

-- Gives the score of the payment's own pending row, or nil. The books may have lost our mark (a restored backup, a key
-- deleted by hand): then a row over the same amount that was written in another second is another payment's.
local function own_row(step)
  local score = redis.call('ZSCORE', pending, row)
  if score and not step and row_at ~= '' and score ~= row_at then return nil end
  return score
end

-- Gives the transaction that the miner's history has for this very amount since the row was written, or nil.
local function booked_since()
  if row_at == '' then return nil end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', payments, row_at, '+inf')) do
    local tx, booked = string.match(member, '^([^:]*):(%d+)')
    if booked == amount then return tx end
  end
end

-- Gives another pending row of the same miner, or nil.
local function other_row()
  for _, other in ipairs(redis.call('ZRANGE', pending, 0, -1)) do
    if other ~= row and string.sub(other, 1, #login + 1) == login .. ':' then return other end
  end
end

-- Says whether a row that is gone went with the miner's pending sum: the old module's RESOLVE moves it, the manual
-- procedure forgets it. Sums of several rows may be no doubles, so that it is asked only where he has no other row.
local function sum_was_moved()
  return not at_least(redis.call('HGET', miner, 'pending') or '0', amount)
end

-- Takes the pending row away, what open-etc-pool keeps about it, and, with the last row, the lock.
local function unpend()
  redis.call('ZREM', pending, row)
  redis.call('HDEL', pending_tx, row)
  redis.call('HDEL', pending_nonce, row)
  if redis.call('ZCARD', pending) == 0 then redis.call('DEL', lock) end
end
