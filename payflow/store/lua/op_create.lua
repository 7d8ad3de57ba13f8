-- Whether an owner has no room for one more request: 'daily', 'open' or nil. Which of the open ones are over by now is
-- only asked when there seems to be no room, so that no move has to say it, and an older version's neither.
local DAY, MOST_LISTED = 86400000, 1000
local function over_limit(P, owner, most_open, most_daily, open_states)
  local since = string.format('(%d', now - DAY)
  if most_daily > 0 and redis.call('ZCOUNT', P .. 'own:' .. owner, since, '+inf') >= most_daily then return 'daily' end
  local open = P .. 'open:' .. owner
  if most_open == 0 or redis.call('SCARD', open) < most_open then return nil end
  local is_open = {}
  for _, state in ipairs(open_states) do is_open[state] = true end
  for _, id in ipairs(redis.call('SMEMBERS', open)) do
    if not is_open[redis.call('HGET', P .. 'rec:' .. id, 'state')] then redis.call('SREM', open, id) end
  end
  if redis.call('SCARD', open) >= most_open then return 'open' end
end

-- Each line is signed with its number, so that it can only stand behind the one that its maker knows.
local function check_line(P, owner, line, listed_after)
  local asked = P .. 'asked:' .. owner
  local newest = claimed[asked] or string.match(redis.call('LINDEX', asked, -1) or '', '^%d+') or '0'
  if tonumber(newest) ~= listed_after then return 'behind ' .. newest end
  claimed[asked] = string.match(ARGV[base + line], '^%d+')
end

local function print_of(print, owner, asset, units)
  return table.concat({ print and print ~= '' and print or '-', owner, asset or '-', units or '-' }, ' ')
end

-- An id that exists is a replay when its print is the same, and its owner and amount. A record that was forgotten is made
-- where its money is, which may be PAID: what is not available for it is owed.
function operations.create.check(
  P, id, owner, asset, units, state, position, print, data, event, hash, mac, line, listed_after, posting, after_ms,
  most_open, most_daily, open_states, claims, messages, rail
)
  local rec = P .. 'rec:' .. id
  local known = redis.call('HMGET', rec, 'ver', 'print', 'owner', 'asset', 'units')
  -- Of an archived record its key is left. What a decision creates beside its own record may be there already, and its
  -- line is added all the same: the next one has the number after it.
  local there = known[1] and print_of(unpack(known, 2)) or redis.call('HGET', P .. 'gone', id)
  if there and there ~= print_of(print, owner, asset, units) then return 'reused' end
  if there then return line and check_line(P, owner, line, listed_after) or 'exists', line and {} end
  if claimed[rec] then return 'conflict' end
  local full = over_limit(P, owner, most_open, most_daily, open_states)
  if full then return full end
  claimed[rec] = id
  local owed
  if position and position ~= 'available' then
    local code
    code, owed = post(P .. 'acct:' .. owner, asset, units, 'available', position)
    if code then return code end
  end
  if rail and overflows_on_rail(P, rail) then return 'overflow' end
  local code = check_claims(P, id, claims)
  if code or not line then return code, { rec, owed } end
  return check_line(P, owner, line, listed_after), { rec, owed }
end

function operations.create.write(
  P, known, id, owner, asset, units, state, position, print, data, event, hash, mac, line, listed_after, posting, after_ms,
  most_open, most_daily, open_states, claims, messages, rail
)
  if line then
    redis.call('RPUSH', P .. 'asked:' .. owner, ARGV[base + line])
    redis.call('LTRIM', P .. 'asked:' .. owner, -MOST_LISTED, -1)
  end
  if not known[1] then return end
  local machine, rec, owed = machine_of(id), known[1], known[2]
  redis.call('RPUSH', P .. 'hist:' .. id, ARGV[base + event])
  local set = {
    'state', state, 'ver', 1, 'owner', owner, 'data', ARGV[base + data], 'hash', ARGV[base + hash], 'made', now, 'since', now,
  }
  local function also(name, value)
    set[#set + 1] = name
    set[#set + 1] = value
  end
  if asset then
    also('asset', asset)
    also('units', units)
  end
  if mac then also('mac', ARGV[base + mac]) end
  if print ~= '' then also('print', print) end
  if most_open > 0 then redis.call('SADD', P .. 'open:' .. owner, id) end
  redis.call('HSET', rec, unpack(set))
  redis.call('ZADD', P .. 'own:' .. owner, now, id)
  if owed then journal(P, owner, asset, 'available', position, units, owed, id .. posting) end
  if rail then write_on_rail(P, rec, rail) end
  write_claims(P, id, claims)
  put_in(P .. 'in:' .. machine .. ':' .. state, now, id)
  if after_ms >= 0 then put_in(P .. 'due:' .. machine .. ':' .. state, now + after_ms, id) end
  if after_ms == 0 then wake(machine .. ':' .. state) end
  send_all(P, id, 1, messages)
end
