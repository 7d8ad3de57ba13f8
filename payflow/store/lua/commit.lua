-- Writes decisions: groups of creations, moves, stays and fundings, each group all or nothing, in order.
--
-- KEYS  the sequence key of each shard touched, `{pf:SS}:seq`; all other keys are built on its prefix
-- ARGV  1 now in ms, or 0 for the server's time · 2 msgpack {writer, tag of this call, when it last learned that the store
--       was taken for the truth, {its newest mark for each key}}, see writers.lua · 3 '1' to wake workers · 4 groups, as
--       msgpack: {index into KEYS, where its bytes begin in ARGV, op, op, …}; an op starts with its kind, see op_*.lua ·
--       5… bytes that ops point to
-- gives {now, run id, replication id, {{sequence, what `leave_mark` gives} of each key},
--        {0 or {code, place of the op} for each group}}
-- codes conflict fenced missing short overflow taken exists reused spent open daily broken, `behind` and a number
--
-- Redis does not take a script back, so a group is checked whole before its first write. A group that meets a key of
-- the wrong type is `broken`; the other groups of the call go on.
--@include numbers
--@include ledger
--@include clock
--@include indexes

local now = clock(ARGV[1])
local announce = ARGV[3] == '1'
local claimed, base = {}, 0

--@include lease
--@include lines
--@include operations
--@include op_create
--@include op_move
--@include op_stay
--@include op_fund
--@include writers

-- Gives nil, or the code of what is wrong and the place of the op that is to blame.
local FIRST = 3
local function carry_out(P, group)
  local known = {}
  for i = FIRST, #group do
    local op = group[i]
    local code
    code, known[i] = operations[op[1]].check(P, unpack(op, 2))
    -- What a decision creates beside its own record may be there already.
    if code and code ~= 'done' and not (code == 'exists' and i > FIRST) then return code, i - FIRST end
  end
  for i = FIRST, #group do
    local op = group[i]
    if known[i] then operations[op[1]].write(P, known[i], unpack(op, 2)) end
  end
  write_accounts()
end

local answers, left = {}, {}
for g, group in ipairs(cmsgpack.unpack(ARGV[4])) do
  claimed, base = {}, group[2]
  local ran, code, place = pcall(carry_out, string.sub(KEYS[group[1]], 1, -4), group)
  if not ran then code, place = 'broken', 0 end
  if code then forget_accounts() end
  answers[g] = code and { code, place } or 0
end
write_indexes()

local writer, tag, adopted, marks = unpack(cmsgpack.unpack(ARGV[2]))
for i, key in ipairs(KEYS) do
  left[i] = { redis.call('INCR', key), leave_mark(string.sub(key, 1, -4) .. 'writers', writer, tag, adopted, marks[i]) }
end
local run, replication = identity()
return { now, run, replication, left, answers }
