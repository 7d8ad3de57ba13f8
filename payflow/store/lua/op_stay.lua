-- A look that learned nothing. `settled` takes off the mark of a send that this lease began, because surely nothing left;
-- what an earlier lease began is as open as before. `error` is what kept it from learning anything.
function operations.stay.check(P, id, version, fence, state, after_ms, tries, settled, error)
  local rec = P .. 'rec:' .. id
  local ver, holder, at, poke, had_tries, sending =
    unpack(redis.call('HMGET', rec, 'ver', 'fence', 'state', 'poke', 'tries', 'sending'))
  if not ver then return 'missing' end
  holder = tonumber(holder or 0)
  if fence > 0 and holder ~= fence then return 'fenced' end
  if tonumber(ver) ~= version or at ~= state or claimed[rec] or written[rec] then return 'conflict' end
  claimed[rec] = id
  return nil, {
    rec = rec, tries = had_tries, held = fence > 0, fence = holder, poked = poke,
    due = fence == 0 and due_now(P, machine_of(id), state, id),
    settled = settled and sending and tonumber(sending) == fence,
  }
end

function operations.stay.write(P, known, id, version, fence, state, after_ms, tries, settled, error)
  local set = {}
  written[known.rec] = true
  if tries > 0 then
    set = error == '' and { 'tries', tries } or { 'tries', tries, 'error', error }
    redis.call('ZADD', P .. 'failing', 'NX', now, id)
  elseif known.tries then
    learned(P, known.rec, id)
  end
  rearm(P, known.rec, id, machine_of(id), state, state, after_ms, known, set)
  if #set > 0 then redis.call('HSET', known.rec, unpack(set)) end
end
