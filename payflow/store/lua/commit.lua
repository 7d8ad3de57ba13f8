-- Writes decisions: groups of creations, moves, stays and fundings, each group all or nothing, in order.
--
-- KEYS  the sequence key of each shard touched, `{pf:SS}:seq`; all other keys are built on its prefix
-- ARGV  1 now in ms, or 0 for the server's time · 2 tag of this call · 3 '1' to wake workers · 4 groups, as msgpack:
--       {index into KEYS, op, op, …}; an op starts with its kind, see operations.lua · 5… bytes that ops point to
-- gives {now, run id, replication id, {sequence of each key}, {0 or {code, place of the op} for each group}}
-- codes conflict fenced missing unknown short overflow taken exists reused
--
-- A group is checked whole before its first write: Redis does not take a script back.
--@include numbers
--@include ledger
--@include clock

local now = clock(ARGV[1])
local refused = nil
local writes = {}
local claims = {}

local function plan(...) writes[#writes + 1] = { ... } end

local function machine_of(id) return string.match(id, '^[^-]+') end

local function due_key(P, id, state) return P .. 'due:' .. machine_of(id) .. ':' .. state end

local function in_key(P, id, state) return P .. 'in:' .. machine_of(id) .. ':' .. state end

local function claim_all(P, id, wanted)
  for i = 1, #wanted, 2 do
    local key, value = P .. 'uniq:' .. wanted[i], wanted[i + 1]
    local place = key .. '\0' .. value
    local holder = claims[place] or redis.call('HGET', key, value)
    if holder and holder ~= id then return 'taken' end
    claims[place] = id
    plan('HSET', key, value, id)
  end
end

local function send_all(P, id, version, messages)
  for i, message in ipairs(messages) do
    local name = id .. '/' .. version .. '/' .. i
    plan('HSET', P .. 'message', name, ARGV[message])
    plan('ZADD', P .. 'outbox', now, name)
  end
end

local function journal(P, owner, asset, from, to, units, owed, id)
  plan('XADD', P .. 'journal', '*', 'e', table.concat({ owner, asset, from, to, units, owed, id }, ' '))
end

--@include velocity
--@include rearm
--@include operations

local sequences, answers, wake = {}, {}, {}
for g, group in ipairs(cmsgpack.unpack(ARGV[4])) do
  local P = string.sub(KEYS[group[1]], 1, -4)
  writes, claims, refused = {}, {}, nil
  for i = 2, #group do
    local op = group[i]
    local code = operations[op[1]](P, op, wake)
    if code then
      refused = { code, i - 2 }
      break
    end
  end
  if refused then
    forget_accounts()
    answers[g] = refused
  else
    for _, write in ipairs(writes) do redis.call(unpack(write)) end
    write_accounts()
    answers[g] = 0
  end
end

for i, key in ipairs(KEYS) do
  local marks = string.sub(key, 1, -4) .. 'marks'
  sequences[i] = redis.call('INCR', key)
  redis.call('LPUSH', marks, ARGV[2])
  redis.call('LTRIM', marks, 0, 255)
end
if ARGV[3] == '1' then
  for queue in pairs(wake) do redis.call('PUBLISH', 'pf:wake', queue) end
end
local run, replication = identity()
return { now, run, replication, sequences, answers }
