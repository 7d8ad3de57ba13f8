-- The fence counts leases and their ends: odd while a record is leased, even while it is free. While it is leased its
-- place in the due index is the end of the lease.
local woken = {}

local function wake(queue)
  if announce and not woken[queue] then
    woken[queue] = true
    redis.call('PUBLISH', 'pf:wake', queue)
  end
end

-- When a record is due, or nil where nobody will look at it.
local function due_now(P, machine, state, id)
  local due = redis.call('ZSCORE', P .. 'due:' .. machine .. ':' .. state, id)
  return due and tonumber(due) or nil
end

-- Sets when to look next. A holder of the lease gives it back; a poke that came meanwhile makes the record due at once.
-- A commit from outside never shortens a running lease: the record stays with its holder, marked as poked. Nor does it
-- put off a look that is due in the state: who keeps telling us something must not keep us from looking.
-- `set` is the list of fields that will be written to the record.
local AS_IT_IS = -2 -- for `after` of a commit from outside: neither when it is looked at nor its lease changes
local function rearm(P, rec, id, machine, from, to, after, lease, set)
  if after == AS_IT_IS then return end
  local due = after >= 0 and now + after or nil
  if lease.held then
    set[#set + 1] = 'fence'
    set[#set + 1] = lease.fence + 1
    if lease.poked then
      redis.call('HDEL', rec, 'poke')
      due = due and now
    end
    if lease.settled then redis.call('HDEL', rec, 'sending') end
  elseif lease.due and due then
    if lease.fence % 2 == 1 and lease.due > now then
      due = lease.due
      set[#set + 1] = 'poke'
      set[#set + 1] = 1
    elseif from == to then
      due = math.min(due, lease.due)
    end
  end
  if due then put_in(P .. 'due:' .. machine .. ':' .. to, due, id) end
  if from ~= to or not due then take_out(P .. 'due:' .. machine .. ':' .. from, id) end
  if due and due <= now then wake(machine .. ':' .. to) end
end
