-- What an owner asked for in the last hour and day, before this request: 'hour_count hour_units day_count day_units'.
-- Every window keeps its sum; what has left the window is taken off, once for each request, and so many a call.
local WINDOWS = { { 'hour', 3600000 }, { 'day', 86400000 } }
local MOST_TAKEN_OFF = 5000

local function velocity_of(P, owner, asset, units, id)
  local seen = {}
  local key = P .. 'vel:' .. owner
  for _, window in ipairs(WINDOWS) do
    local name, length = window[1], window[2]
    -- Not behind the owner: his name may end like a window's.
    local entries = P .. 'vel' .. name .. ':' .. owner
    local sums = {}
    local function sum_of(code) return sums[code] or redis.call('HGET', key, code .. '.' .. name) or '0' end
    local old = redis.call('ZRANGEBYSCORE', entries, '-inf', now - length, 'LIMIT', 0, MOST_TAKEN_OFF)
    for _, entry in ipairs(old) do
      local past_asset, past_units = string.match(entry, '^(%S+) (%S+)')
      sums[past_asset] = minus(sum_of(past_asset), past_units)
    end
    if #old > 0 then redis.call('ZREMRANGEBYRANK', entries, 0, #old - 1) end
    seen[#seen + 1] = string.format('%d', redis.call('ZCARD', entries))
    seen[#seen + 1] = sum_of(asset)
    sums[asset] = add(sum_of(asset), units)
    for code, sum in pairs(sums) do redis.call('HSET', key, code .. '.' .. name, sum) end
    redis.call('ZADD', entries, now, asset .. ' ' .. units .. ' ' .. id)
  end
  return table.concat(seen, ' ')
end
