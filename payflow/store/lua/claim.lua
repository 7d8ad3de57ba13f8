-- Leases due records to a worker, the oldest due first over all shards given.
--
-- KEYS  `{pf:SS}:seq` of each shard to look into
-- A fence is odd while a record is leased: a lease that ran out is followed by the next odd number.
-- ARGV  1 now in ms or 0 · 2 msgpack {{machine, state, limit, lease_ms}, …}
-- gives {now, when the next record of these queues is due (-1: none known), {place of the queue, id, fence, fields…}, …},
--       the fence among the fields being that of the lease before
--       and, for an id without a record or in another state, {place of the queue, id, 0}
--@include clock
--@include fields
local SLICE = 2000 -- as many values as `unpack` can surely give
local now = clock(ARGV[1])
local next_due = -1
local answer = { now, -1 }

for q, queue in ipairs(cmsgpack.unpack(ARGV[2])) do
  local machine, state, limit, lease = unpack(queue)
  local due = {}
  for _, key in ipairs(KEYS) do
    local P = string.sub(key, 1, -4)
    local index = P .. 'due:' .. machine .. ':' .. state
    -- One more than is wanted tells whether any are left.
    local found = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit + 1)
    for i = 1, #found, 2 do due[#due + 1] = { found[i], tonumber(found[i + 1]), P, index } end
    if #found <= 2 * limit then
      local coming = redis.call('ZRANGEBYSCORE', index, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
      coming = coming and tonumber(coming)
      if coming and (next_due < 0 or coming < next_due) then next_due = coming end
    end
  end
  if #due > limit then
    table.sort(due, function(a, b) return a[2] < b[2] end)
    next_due = now
  end
  local leased = {}
  for i = 1, math.min(limit, #due) do
    local id, P, index = due[i][1], due[i][3], due[i][4]
    local rec = P .. 'rec:' .. id
    local fields = redis.pcall('HMGET', rec, unpack(FIELDS)) -- of a key that is no hash: an error, and no state
    if fields[1] ~= state then
      redis.call('ZREM', index, id)
      answer[#answer + 1] = { q, id, 0 }
    else
      local fence = (tonumber(fields[FENCE]) or 0) + 1
      if fence % 2 == 0 then fence = fence + 1 end
      redis.call('HSET', rec, 'fence', fence)
      local list = leased[index] or {}
      leased[index] = list
      list[#list + 1] = now + lease
      list[#list + 1] = id
      answer[#answer + 1] = { q, id, fence, unpack(fields) }
    end
  end
  for index, list in pairs(leased) do
    for first = 1, #list, SLICE do redis.call('ZADD', index, unpack(list, first, math.min(#list, first + SLICE - 1))) end
  end
end
answer[2] = next_due
return answer
