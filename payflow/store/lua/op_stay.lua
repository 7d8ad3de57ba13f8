-- {'stay', id, version, fence, state, after_ms, tries, settled}: a look that learned nothing. `settled` takes off the mark
-- of a send that this lease began, because surely nothing left; what an earlier lease began is as open as before.
function operations.stay.check(P, op)
  local id, version, fence, state = op[2], op[3], op[4], op[5]
  local rec = P .. 'rec:' .. id
  local ver, holder, at, poke, tries, sending =
    unpack(redis.call('HMGET', rec, 'ver', 'fence', 'state', 'poke', 'tries', 'sending'))
  if not ver then return 'missing' end
  holder = tonumber(holder or 0)
  if fence > 0 and holder ~= fence then return 'fenced' end
  if tonumber(ver) ~= version or at ~= state or claims[rec] or written[rec] then return 'conflict' end
  claims[rec] = id
  local due = fence == 0 and due_now(P, machine_of(id), state, id)
  local settled = op[8] and sending and tonumber(sending) == fence
  return nil, { rec = rec, tries = tries, held = fence > 0, fence = holder, poked = poke, due = due, settled = settled }
end

function operations.stay.write(P, op, known)
  local id, state, after, tries = op[2], op[5], op[6], op[7]
  local set = {}
  written[known.rec] = true
  if tries > 0 then set = { 'tries', tries } elseif known.tries then redis.call('HDEL', known.rec, 'tries') end
  rearm(P, known.rec, id, machine_of(id), state, state, after, known, set)
  if #set > 0 then redis.call('HSET', known.rec, unpack(set)) end
end
