-- One function a kind of op. Each checks everything, plans its writes and gives nil, or gives the code of what is wrong.
-- data, event, hash and messages are places in ARGV: msgpack as Lua reads it has no bytes.
local operations = {}

-- {'create', id, owner, asset, units, state, position, print, data, event, hash, after_ms, counted, claims, messages}
-- An id that exists is a replay when its print is the same.
function operations.create(P, op, wake)
  local _, id, owner, asset, units, state, position, print, data, event, hash, after, counted = unpack(op, 1, 13)
  local rec = P .. 'rec:' .. id
  local known = redis.call('HMGET', rec, 'ver', 'print')
  if known[1] then return (known[2] or '') == print and 'exists' or 'reused' end
  if claims[rec] then return 'conflict' end
  claims[rec] = id
  local velocity = counted and velocity_of(P, owner, asset, units, id)
  if position and position ~= 'available' then
    local code, owed = post(P .. 'acct:' .. owner, asset, units, 'available', position)
    if code then return code end
    journal(P, owner, asset, 'available', position, units, owed, id)
  end
  local taken = claim_all(P, id, op[14])
  if taken then return taken end
  plan('HSET', rec, 'state', state, 'ver', 1, 'owner', owner, 'data', ARGV[data], 'hash', ARGV[hash], 'made', now, 'since', now)
  if asset then plan('HSET', rec, 'asset', asset, 'units', units) end
  if print ~= '' then plan('HSET', rec, 'print', print) end
  if velocity then plan('HSET', rec, 'vel', velocity) end
  plan('RPUSH', P .. 'hist:' .. id, ARGV[event])
  plan('ZADD', in_key(P, id, state), now, id)
  plan('ZADD', P .. 'own:' .. owner, now, id)
  if after >= 0 then
    plan('ZADD', due_key(P, id, state), now + after, id)
    if after == 0 then wake[machine_of(id) .. ':' .. state] = true end
  end
  send_all(P, id, 1, op[15])
end

-- {'move', id, version, fence, state, to, from_position, to_position, data, event, hash, after_ms, tries, tallied, parked,
--  claims, releases, messages}; `to` may be the same state. Fence 0 comes from outside a lease.
function operations.move(P, op, wake)
  local _, id, version, fence, state, to, from_position, to_position, data, event, hash, after, tries, tallied, parked =
    unpack(op, 1, 15)
  local rec = P .. 'rec:' .. id
  local known = redis.call('HMGET', rec, 'ver', 'fence', 'state', 'lease', 'poke', 'owner', 'asset', 'units', 'hash', 'parked', 'tries')
  local owner, asset, units = known[6], known[7], known[8]
  if not known[1] then return 'missing' end
  hash = ARGV[hash]
  if known[9] == hash then return nil end
  if fence > 0 and tonumber(known[2]) ~= fence then return 'fenced' end
  if tonumber(known[1]) ~= version or known[3] ~= state or claims[rec] then return 'conflict' end
  claims[rec] = id
  if from_position and from_position ~= to_position then
    local code, owed = post(P .. 'acct:' .. owner, asset, units, from_position, to_position)
    if code then return code end
    journal(P, owner, asset, from_position, to_position, units, owed, id)
  end
  for i = 1, #op[17], 2 do
    local key = P .. 'uniq:' .. op[17][i]
    if redis.call('HGET', key, op[17][i + 1]) == id then plan('HDEL', key, op[17][i + 1]) end
  end
  local taken = claim_all(P, id, op[16])
  if taken then return taken end
  local set = { 'HSET', rec, 'ver', version + 1, 'hash', hash }
  local function field(name, value)
    set[#set + 1] = name
    set[#set + 1] = value
  end
  if data then field('data', ARGV[data]) end
  if to ~= state then
    field('state', to)
    field('since', now)
    plan('ZREM', in_key(P, id, state), id)
    plan('ZADD', in_key(P, id, to), now, id)
    plan('ZREM', due_key(P, id, state), id)
    if tallied then plan('HINCRBY', P .. 'tally:' .. owner, machine_of(id) .. ':' .. to, 1) end
  end
  plan('RPUSH', P .. 'hist:' .. id, ARGV[event])
  rearm(P, rec, id, to, fence, after, { tries, known[11] }, known[4], known[5], field, wake)
  set_aside(P, rec, id, to, parked, known[10])
  writes[#writes + 1] = set
  send_all(P, id, version + 1, op[18])
end

-- {'stay', id, version, fence, state, after_ms, tries}: a look that learned nothing.
function operations.stay(P, op, wake)
  local _, id, version, fence, state, after, tries = unpack(op, 1, 7)
  local rec = P .. 'rec:' .. id
  local known = redis.call('HMGET', rec, 'ver', 'fence', 'state', 'lease', 'poke', 'tries')
  if not known[1] then return 'missing' end
  if fence > 0 and tonumber(known[2]) ~= fence then return 'fenced' end
  if tonumber(known[1]) ~= version or known[3] ~= state then return 'conflict' end
  local set = { 'HSET', rec }
  local function field(name, value)
    set[#set + 1] = name
    set[#set + 1] = value
  end
  rearm(P, rec, id, state, fence, after, { tries, known[6] }, known[4], known[5], field, wake)
  if #set > 2 then writes[#writes + 1] = set end
end

-- {'fund', owner, asset, units, 'in' or 'out', reference}: money from or to outside, once a reference.
function operations.fund(P, op)
  local _, owner, asset, units, way, reference = unpack(op, 1, 6)
  local key, space = P .. 'acct:' .. owner, P .. 'uniq:fund'
  local print = table.concat({ owner, asset, units, way }, ' ')
  local known = claims[space .. reference] or redis.call('HGET', space, reference)
  if known then return known == print and 'exists' or 'reused' end
  claims[space .. reference] = print
  local funded, owed, over = balance(key, asset .. '.funded'), '0', false
  if way == 'in' then
    owed, over = put_available(key, asset, units)
    if owed ~= '0' then owed = '-' .. owed end
    over = put(key, asset .. '.funded', units) or over
  else
    if less(funded, units) then return 'short' end
    owed, over = take_or_owe(key, asset, units)
    set_balance(key, asset .. '.funded', minus(funded, units))
  end
  if over then return 'overflow' end
  plan('HSET', space, reference, print)
  local from, to = 'outside', 'available'
  if way == 'out' then from, to = to, from end
  journal(P, owner, asset, from, to, units, owed, reference)
end
