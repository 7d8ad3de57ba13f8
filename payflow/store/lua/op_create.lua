-- {'create', id, owner, asset, units, state, position, print, data, event, hash, after_ms, counted, claims, messages}
-- An id that exists is a replay when its print is the same, and its owner and amount. A record that was forgotten is made
-- where its money is, which may be PAID: what is not available for it is owed.
function operations.create.check(P, op)
  local id, owner, asset, units, position, print = op[2], op[3], op[4], op[5], op[7], op[8]
  local rec = P .. 'rec:' .. id
  local known = redis.call('HMGET', rec, 'ver', 'print', 'owner', 'asset', 'units')
  if known[1] then
    local same = (known[2] or '') == print and known[3] == owner and known[4] == asset and known[5] == units
    return same and 'exists' or 'reused'
  end
  -- Of a record that was put away its key is left.
  local gone = redis.call('HGET', P .. 'gone', id)
  if gone then
    local asked = table.concat({ print ~= '' and print or '-', owner, asset or '-', units or '-' }, ' ')
    return gone == asked and 'exists' or 'reused'
  end
  if claims[rec] then return 'conflict' end
  claims[rec] = id
  local owed
  if position and position ~= 'available' then
    local code
    code, owed = post(P .. 'acct:' .. owner, asset, units, 'available', position)
    if code then return code end
  end
  return check_claims(P, id, op[14]), { rec, owed }
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
  if known[2] then journal(P, owner, asset, 'available', position, units, known[2], id) end
  write_claims(P, id, op[14])
  put_in(P .. 'in:' .. machine .. ':' .. state, now, id)
  if after >= 0 then put_in(P .. 'due:' .. machine .. ':' .. state, now + after, id) end
  if after == 0 then wake(machine .. ':' .. state) end
  send_all(P, id, 1, op[15])
end
