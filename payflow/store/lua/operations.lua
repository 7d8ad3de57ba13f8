-- The kinds of op. `check` gives the code of what is wrong, or nil and what `write` needs; 'done' means that it is written
-- already. `write` only writes. data, event, hash and messages are places in ARGV: msgpack as Lua reads it has no bytes.
local operations = { create = {}, move = {}, stay = {}, fund = {} }

-- A record is written at most once a call, so that the index writes, which are gathered, cannot overtake each other.
local written = {}

local function machine_of(id) return string.sub(id, 1, string.find(id, '-', 1, true) - 1) end

local FREE = '' -- no record has this id

local function check_claims(P, id, wanted)
  for i = 1, #wanted, 2 do
    local key, value = P .. 'uniq:' .. wanted[i], wanted[i + 1]
    local holder = claims[key .. '\0' .. value] or redis.call('HGET', key, value)
    if holder and holder ~= FREE and holder ~= id then return 'taken' end
    claims[key .. '\0' .. value] = id
  end
end

-- What a record lets go of, another one of its group may take.
local function check_releases(P, id, released)
  for i = 1, #released, 2 do
    local key, value = P .. 'uniq:' .. released[i], released[i + 1]
    if redis.call('HGET', key, value) == id then claims[key .. '\0' .. value] = FREE end
  end
end

local function write_releases(P, id, released)
  for i = 1, #released, 2 do
    local key = P .. 'uniq:' .. released[i]
    if redis.call('HGET', key, released[i + 1]) == id then redis.call('HDEL', key, released[i + 1]) end
  end
end

local function write_claims(P, id, wanted)
  for i = 1, #wanted, 2 do redis.call('HSET', P .. 'uniq:' .. wanted[i], wanted[i + 1], id) end
end

local function send_all(P, id, version, messages)
  for i, message in ipairs(messages) do
    local name = id .. '/' .. version .. '/' .. i
    redis.call('HSET', P .. 'message', name, ARGV[message])
    redis.call('ZADD', P .. 'outbox', now, name)
    wake('outbox')
  end
end

local function journal(P, owner, asset, from, to, units, owed, id)
  redis.call('XADD', P .. 'journal', '*', 'e', table.concat({ owner, asset, from, to, units, owed, id }, ' '))
end

-- {'create', id, owner, asset, units, state, position, print, data, event, hash, after_ms, counted, claims, messages}
-- An id that exists is a replay when its print is the same, and its owner and amount.
function operations.create.check(P, op)
  local id, owner, asset, units, position, print = op[2], op[3], op[4], op[5], op[7], op[8]
  local rec = P .. 'rec:' .. id
  local known = redis.call('HMGET', rec, 'ver', 'print', 'owner', 'asset', 'units')
  if known[1] then
    local same = (known[2] or '') == print and known[3] == owner and known[4] == asset and known[5] == units
    return same and 'exists' or 'reused'
  end
  if claims[rec] then return 'conflict' end
  claims[rec] = id
  local posted = position and position ~= 'available'
  if posted then
    local code = post(P .. 'acct:' .. owner, asset, units, 'available', position)
    if code then return code end
  end
  return check_claims(P, id, op[14]), { rec, posted }
end

function operations.create.write(P, op, known)
  local _, id, owner, asset, units, state, position, print, data, event, hash, after, counted = unpack(op, 1, 13)
  local machine, rec = machine_of(id), known[1]
  local velocity = counted and velocity_of(P, owner, asset, units, id)
  redis.call('RPUSH', P .. 'hist:' .. id, ARGV[event])
  local set = { 'state', state, 'ver', 1, 'owner', owner, 'data', ARGV[data], 'hash', ARGV[hash], 'made', now, 'since', now }
  local function also(name, value)
    set[#set + 1] = name
    set[#set + 1] = value
  end
  if asset then
    also('asset', asset)
    also('units', units)
  end
  if print ~= '' then also('print', print) end
  if velocity then also('vel', velocity) end
  redis.call('HSET', rec, unpack(set))
  redis.call('ZADD', P .. 'own:' .. owner, now, id)
  if known[2] then journal(P, owner, asset, 'available', position, units, '0', id) end
  write_claims(P, id, op[14])
  put_in(P .. 'in:' .. machine .. ':' .. state, now, id)
  if after >= 0 then put_in(P .. 'due:' .. machine .. ':' .. state, now + after, id) end
  if after == 0 then wake(machine .. ':' .. state) end
  send_all(P, id, 1, op[15])
end

-- {'move', id, version, fence, state, to, from_position, to_position, data, event, hash, after_ms, tries, tallied, parked,
--  claims, releases, messages}; `to` may be the same state. Fence 0 comes from outside a lease.
function operations.move.check(P, op)
  local id, version, fence, state, from_position, to_position = op[2], op[3], op[4], op[5], op[7], op[8]
  local rec = P .. 'rec:' .. id
  local ver, holder, at, poke, owner, asset, units, hash, parked, tries =
    unpack(redis.call('HMGET', rec, 'ver', 'fence', 'state', 'poke', 'owner', 'asset', 'units', 'hash', 'parked', 'tries'))
  if not ver then return 'missing' end
  if hash == ARGV[op[11]] then return 'done' end
  holder = tonumber(holder or 0)
  if fence > 0 and holder ~= fence then return 'fenced' end
  if tonumber(ver) ~= version or at ~= state or claims[rec] or written[rec] then return 'conflict' end
  claims[rec] = id
  local owed
  if from_position and from_position ~= to_position then
    local code
    code, owed = post(P .. 'acct:' .. owner, asset, units, from_position, to_position)
    if code then return code end
  end
  local due = fence == 0 and due_now(P, machine_of(id), state, id)
  check_releases(P, id, op[17])
  return check_claims(P, id, op[16]), {
    rec = rec, owner = owner, asset = asset, units = units, owed = owed, parked = parked, tries = tries,
    held = fence > 0, fence = holder, poked = poke, due = due,
  }
end

function operations.move.write(P, op, known)
  local _, id, version, _, state, to, from_position, to_position, data, event, hash, after, tries, tallied, parked =
    unpack(op, 1, 15)
  local rec, machine = known.rec, machine_of(id)
  written[rec] = true
  redis.call('RPUSH', P .. 'hist:' .. id, ARGV[event])
  local set = { 'ver', version + 1, 'hash', ARGV[hash] }
  local function also(name, value)
    set[#set + 1] = name
    set[#set + 1] = value
  end
  if data then also('data', ARGV[data]) end
  if to ~= state then
    also('state', to)
    also('since', now)
    take_out(P .. 'in:' .. machine .. ':' .. state, id)
    put_in(P .. 'in:' .. machine .. ':' .. to, now, id)
    if tallied then redis.call('HINCRBY', P .. 'tally:' .. known.owner, machine .. ':' .. to, 1) end
  end
  if tries > 0 then also('tries', tries) elseif known.tries then redis.call('HDEL', rec, 'tries') end
  if parked ~= '' then
    also('parked', parked)
    redis.call('ZADD', P .. 'parked', 'NX', now, id)
  elseif known.parked then
    redis.call('HDEL', rec, 'parked')
    redis.call('ZREM', P .. 'parked', id)
  end
  rearm(P, rec, id, machine, state, to, after, known, set)
  redis.call('HSET', rec, unpack(set))
  if known.owed then journal(P, known.owner, known.asset, from_position, to_position, known.units, known.owed, id) end
  write_releases(P, id, op[17])
  write_claims(P, id, op[16])
  send_all(P, id, version + 1, op[18])
end

-- {'stay', id, version, fence, state, after_ms, tries}: a look that learned nothing.
function operations.stay.check(P, op)
  local id, version, fence, state = op[2], op[3], op[4], op[5]
  local rec = P .. 'rec:' .. id
  local ver, holder, at, poke, tries = unpack(redis.call('HMGET', rec, 'ver', 'fence', 'state', 'poke', 'tries'))
  if not ver then return 'missing' end
  holder = tonumber(holder or 0)
  if fence > 0 and holder ~= fence then return 'fenced' end
  if tonumber(ver) ~= version or at ~= state or claims[rec] or written[rec] then return 'conflict' end
  claims[rec] = id
  local due = fence == 0 and due_now(P, machine_of(id), state, id)
  return nil, { rec = rec, tries = tries, held = fence > 0, fence = holder, poked = poke, due = due }
end

function operations.stay.write(P, op, known)
  local id, state, after, tries = op[2], op[5], op[6], op[7]
  local set = {}
  written[known.rec] = true
  if tries > 0 then set = { 'tries', tries } elseif known.tries then redis.call('HDEL', known.rec, 'tries') end
  rearm(P, known.rec, id, machine_of(id), state, state, after, known, set)
  if #set > 0 then redis.call('HSET', known.rec, unpack(set)) end
end

-- {'fund', owner, asset, units, 'in' or 'out', reference, earning, most}: money from or to outside, once a reference.
-- `earning` names what was earned, or taken back, in the owner's list of earnings; '' for money that is no earning. Of an
-- earning no more than `most` units are ever taken back.
function operations.fund.check(P, op)
  local _, owner, asset, units, way, reference = unpack(op, 1, 6)
  local key, space = P .. 'acct:' .. owner, P .. 'uniq:fund'
  local print = table.concat({ owner, asset, units, way }, ' ')
  local known = redis.call('HGET', space, reference)
  if known then return known == print and 'exists' or 'reused' end
  local funded, owed, over = balance(key, asset .. '.funded'), '0', false
  if way == 'in' then
    owed, over = put_available(key, asset, units)
    if owed ~= '0' then owed = '-' .. owed end
    over = put(key, asset .. '.funded', units) or over
  else
    if less(funded, units) then return 'short' end
    if op[8] and less(op[8], add(redis.call('HGET', P .. 'clawed', op[7]) or '0', units)) then return 'spent' end
    owed, over = take_or_owe(key, asset, units)
    set_balance(key, asset .. '.funded', minus(funded, units))
  end
  if over then return 'overflow' end
  return nil, { space, print, owed }
end

function operations.fund.write(P, op, known)
  local _, owner, asset, units, way, reference = unpack(op, 1, 6)
  redis.call('HSET', known[1], reference, known[2])
  local from, to = 'outside', 'available'
  if way == 'out' then from, to = to, from end
  journal(P, owner, asset, from, to, units, known[3], reference)
  if op[8] then redis.call('HINCRBY', P .. 'clawed', op[7], units) end
  if op[7] ~= '' then
    redis.call('XADD', P .. 'earn:' .. owner, '*', 'e', table.concat({ way, asset, units, now, op[7] }, ' '))
  end
end
