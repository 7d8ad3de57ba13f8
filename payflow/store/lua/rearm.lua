-- Sets when to look next. A holder of the lease gives it back; a poke that came meanwhile makes the record due at once.
-- A commit from outside never shortens a running lease: the record stays with its holder, marked as poked.
local function rearm(P, rec, id, state, fence, after, tries, lease, poke, field, wake)
  local due = after >= 0 and now + after or nil
  if fence > 0 then
    if lease then plan('HDEL', rec, 'lease', 'poke') end
    if poke then due = now end
  elseif lease and tonumber(lease) > now then
    if due then plan('HSET', rec, 'poke', 1) end
    due = due and tonumber(lease)
  end
  if due then
    plan('ZADD', P .. 'due:' .. machine_of(id) .. ':' .. state, due, id)
    if due <= now then wake[machine_of(id) .. ':' .. state] = true end
  else
    plan('ZREM', P .. 'due:' .. machine_of(id) .. ':' .. state, id)
  end
  if tries[1] > 0 then field('tries', tries[1]) elseif tries[2] then plan('HDEL', rec, 'tries') end
end

-- A parked record is out of the due index until somebody retries it.
local function set_aside(P, rec, id, state, parked, was)
  if parked == '' then
    if was then
      plan('HDEL', rec, 'parked')
      plan('ZREM', P .. 'parked', id)
    end
    return
  end
  plan('HSET', rec, 'parked', parked)
  plan('ZADD', P .. 'parked', now, id)
  plan('ZREM', P .. 'due:' .. machine_of(id) .. ':' .. state, id)
end
