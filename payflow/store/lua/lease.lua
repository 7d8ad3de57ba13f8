-- The fence counts leases and their ends: odd while a record is leased, even while it is free. While it is leased its
-- place in the due index is the end of the lease.
local woken = {}

local function wake(queue)
  if announce and not woken[queue] then
    woken[queue] = true
    redis.call('PUBLISH', 'pf:wake', queue)
  end
end

-- When the running lease of a record ends, or nil.
local function lease_end(P, machine, state, id, fence)
  if fence % 2 == 0 then return nil end
  local ends = redis.call('ZSCORE', P .. 'due:' .. machine .. ':' .. state, id)
  ends = ends and tonumber(ends)
  return ends and ends > now and ends or nil
end

-- Sets when to look next. A holder of the lease gives it back; a poke that came meanwhile makes the record due at once.
-- A commit from outside never shortens a running lease: the record stays with its holder, marked as poked.
-- `set` is the list of fields that will be written to the record.
local function rearm(P, rec, id, machine, from, to, after, lease, set)
  local due = after >= 0 and now + after or nil
  if lease.held then
    set[#set + 1] = 'fence'
    set[#set + 1] = lease.fence + 1
    if lease.poked then
      redis.call('HDEL', rec, 'poke')
      due = due and now
    end
  elseif lease.ends and due then
    due = lease.ends
    set[#set + 1] = 'poke'
    set[#set + 1] = 1
  end
  if due then put_in(P .. 'due:' .. machine .. ':' .. to, due, id) end
  if from ~= to or not due then take_out(P .. 'due:' .. machine .. ':' .. from, id) end
  if due and due <= now then wake(machine .. ':' .. to) end
end
