-- `to` may be the same state. Fence 0 comes from outside a lease. Tries of -1 leave them as they are. `sends` says what becomes of the mark of a send: 'settled'
-- takes it off, 'none' refuses a record that has one, '' leaves it.
function operations.move.check(
  P, id, version, fence, state, to, from_position, to_position, data, event, hash, mac, posting, after_ms, tries, parked, claims,
  releases, messages, sends, share, rail
)
  local rec = P .. 'rec:' .. id
  local ver, holder, at, poke, owner, asset, units, newest, was_parked, had_tries, sending, posted = unpack(
    redis.call(
      'HMGET', rec, 'ver', 'fence', 'state', 'poke', 'owner', 'asset', 'units', 'hash', 'parked', 'tries', 'sending', 'share'
    )
  )
  if not ver then return 'missing' end
  if newest == ARGV[base + hash] then return 'done' end
  holder = tonumber(holder or 0)
  if fence > 0 and holder ~= fence then return 'fenced' end
  if tonumber(ver) ~= version or at ~= state or claimed[rec] or written[rec] then return 'conflict' end
  if sending and sends == 'none' then return 'conflict' end
  if share and share ~= (posted or '') then return 'conflict' end -- what an older version left was posted meanwhile
  claimed[rec] = id
  local owed
  if from_position and from_position ~= to_position then
    local code
    code, owed = post(P .. 'acct:' .. owner, asset, units, from_position, to_position)
    if code then return code end
  end
  if rail and overflows_on_rail(P, rail) then return 'overflow' end
  local due = fence == 0 and due_now(P, machine_of(id), state, id)
  check_releases(P, id, releases)
  return check_claims(P, id, claims), {
    rec = rec, owner = owner, asset = asset, units = units, owed = owed, parked = was_parked, tries = had_tries,
    held = fence > 0, fence = holder, poked = poke, due = due, settled = sending and sends == 'settled',
  }
end

function operations.move.write(
  P, known, id, version, fence, state, to, from_position, to_position, data, event, hash, mac, posting, after_ms, tries, parked,
  claims, releases, messages, sends, share, rail
)
  local rec, machine = known.rec, machine_of(id)
  written[rec] = true
  redis.call('RPUSH', P .. 'hist:' .. id, ARGV[base + event])
  local set = { 'ver', version + 1, 'hash', ARGV[base + hash] }
  local function also(name, value)
    set[#set + 1] = name
    set[#set + 1] = value
  end
  if data then also('data', ARGV[base + data]) end
  if mac then also('mac', ARGV[base + mac]) end
  if to ~= state then
    also('state', to)
    also('since', now)
    take_out(P .. 'in:' .. machine .. ':' .. state, id)
    put_in(P .. 'in:' .. machine .. ':' .. to, now, id)
  end
  if tries > 0 then also('tries', tries) elseif tries == 0 and known.tries then learned(P, rec, id) end
  if parked ~= '' then
    also('parked', parked)
    redis.call('ZADD', P .. 'parked', 'NX', now, id)
  elseif known.parked then
    redis.call('HDEL', rec, 'parked')
    redis.call('ZREM', P .. 'parked', id)
  end
  rearm(P, rec, id, machine, state, to, after_ms, known, set)
  redis.call('HSET', rec, unpack(set))
  if known.owed then journal(P, known.owner, known.asset, from_position, to_position, known.units, known.owed, id .. posting) end
  if rail then write_on_rail(P, rec, rail) end
  write_releases(P, id, releases)
  write_claims(P, id, claims)
  send_all(P, id, version + 1, messages)
end
