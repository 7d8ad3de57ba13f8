-- Takes a token for one call to a rail from the budget that the whole fleet shares, whoever calls and for what.
--
-- Each kind of call has a share of the rate for itself, saved up for a second at most; what a kind leaves unused goes to
-- whoever needs it. After a rail asked for fewer calls nobody gets any until it has had its rest.
--
-- KEYS  `pf:rate:calls-<rail>`
-- ARGV  1 now in ms or 0 · 2 calls a second of all kinds together · 3 which kind asks, from 1 · 4… the share of each kind;
--       or 3 `0`, and 4 for how many ms nobody may call
-- gives {1 granted, 0 not yet, -1 nobody may call, and in how many ms it is worth while to ask again}
--@include clock
local now, rate, kind = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local known = redis.call('HMGET', KEYS[1], 'rests', 'at', 'spare')
local rests = tonumber(known[1]) or 0
if kind == 0 then
  rests = math.max(rests, now + tonumber(ARGV[4]))
  redis.call('HSET', KEYS[1], 'rests', rests)
  redis.call('PEXPIRE', KEYS[1], rests - now + 60000)
  return { -1, rests - now }
end
if now < rests then return { -1, rests - now } end
local passed = math.max(0, now - (tonumber(known[2]) or now))
local spare, fields = tonumber(known[3]) or 0, { 'at', now }
local saved = {}
for number = 1, #ARGV - 3 do
  local share = tonumber(ARGV[number + 3])
  local most = math.max(1, share * rate)
  local kept = (tonumber(redis.call('HGET', KEYS[1], 'kind' .. number)) or most) + passed * rate * share / 1000
  spare = spare + math.max(0, kept - most)
  saved[number] = math.min(most, kept)
end
-- What nobody used is not saved up: a quarter of a second's worth bridges the time between two callers.
spare = math.min(spare, math.max(1, rate / 4))
local granted, wait = 1, 0
if saved[kind] >= 1 then
  saved[kind] = saved[kind] - 1
elseif spare >= 1 then
  spare = spare - 1
else
  granted, wait = 0, math.max(1, math.ceil((1 - saved[kind]) * 1000 / (rate * tonumber(ARGV[kind + 3]))))
end
for number = 1, #ARGV - 3 do
  fields[#fields + 1] = 'kind' .. number
  fields[#fields + 1] = tostring(saved[number])
end
redis.call('HSET', KEYS[1], 'spare', tostring(spare), unpack(fields))
redis.call('PEXPIRE', KEYS[1], math.max(60000, math.ceil(60000 / rate)))
return { granted, wait }
