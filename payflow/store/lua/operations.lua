-- The kinds of op. `check` gives the code of what is wrong, or nil and what `write` needs; 'done' means that it is written
-- already. `write` only writes. Both take what the op holds, under the names that groups.py gives it: a test compares them.
-- data, event, hash and messages are places in ARGV, from `base` on: msgpack as Lua reads it has no bytes.
local operations = { create = {}, move = {}, stay = {}, fund = {} }

-- A record is written at most once a call, so that the index writes, which are gathered, cannot overtake each other.
local written = {}

local function machine_of(id) return string.sub(id, 1, string.find(id, '-', 1, true) - 1) end

local FREE = '' -- no record has this id

local function check_claims(P, id, wanted)
  for i = 1, #wanted, 2 do
    local key, value = P .. 'uniq:' .. wanted[i], wanted[i + 1]
    local holder = claimed[key .. '\0' .. value] or redis.call('HGET', key, value)
    if holder and holder ~= FREE and holder ~= id then return 'taken' end
    claimed[key .. '\0' .. value] = id
  end
end

-- What a record lets go of, another one of its group may take.
local function check_releases(P, id, released)
  for i = 1, #released, 2 do
    local key, value = P .. 'uniq:' .. released[i], released[i + 1]
    if redis.call('HGET', key, value) == id then claimed[key .. '\0' .. value] = FREE end
  end
end

local function write_releases(P, id, released)
  for i = 1, #released, 2 do
    local key = P .. 'uniq:' .. released[i]
    if redis.call('HGET', key, released[i + 1]) == id then redis.call('HDEL', key, released[i + 1]) end
  end
end

local function write_claims(P, id, wanted)
  for i = 1, #wanted, 2 do redis.call('HSET', P .. 'uniq:' .. wanted[i], wanted[i + 1], id) end
end

local function send_all(P, id, version, messages)
  for i, message in ipairs(messages) do
    enqueue(P, now, id .. '/' .. version .. '/' .. i, ARGV[base + message])
    wake('outbox')
  end
end

local function journal(P, owner, asset, from, to, units, owed, id)
  redis.call('XADD', P .. 'journal', '*', 'e', table.concat({ owner, asset, from, to, units, owed, id }, ' '))
end

-- A look learned something: what kept the looks before it from that is over.
local function learned(P, rec, id)
  redis.call('HDEL', rec, 'tries', 'error')
  redis.call('ZREM', P .. 'failing', id)
end
