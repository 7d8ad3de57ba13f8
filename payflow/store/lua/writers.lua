-- Leaves the mark of a call: its number among those of its writer, and its tag. A mark that was acknowledged to the writer
-- and is not here means that writes were lost; that is written down before the new mark hides it, for everybody to see.
local MOST_WRITERS = 512

-- Writers come and go; those that came back longest ago are forgotten, and until when that is so is kept.
local function drop_old(key)
  if redis.call('HLEN', key) < 2 * MOST_WRITERS then return end
  local all, found = redis.call('HGETALL', key), {}
  for i = 1, #all, 2 do
    local writer = string.match(all[i], '^(.*)#$')
    if writer then found[#found + 1] = { writer, tonumber(string.match(all[i + 1], '%d+$')) } end
  end
  table.sort(found, function(a, b) return a[2] < b[2] end)
  local last = 0
  for i = 1, #found / 2 do
    redis.call('HDEL', key, found[i][1], found[i][1] .. '#')
    last = found[i][2]
  end
  redis.call('HSET', key, 'dropped', last)
end

-- `mark` is the newest that the writer knows of: {number, tag, when}; `adopted` is when it last learned that the store was
-- taken for the truth. Gives {number of this call, what was lost or '', when the shard was taken for the truth}.
local function leave_mark(key, writer, tag, adopted, mark)
  local stored, told, lost, since, dropped =
    unpack(redis.call('HMGET', key, writer, writer .. '#', 'lost', 'adopted', 'dropped'))
  local number, known = tonumber(stored or '0'), told and string.match(told, '^%x+')
  local missing = number < mark[1] or (number == mark[1] and mark[1] > 0 and known ~= mark[2])
  local forgotten = not stored and mark[3] <= tonumber(dropped or '0')
  if missing and not forgotten and not lost and adopted >= tonumber(since or '0') then
    lost = mark[1] .. ' of ' .. writer
    redis.call('HSET', key, 'lost', lost)
  end
  if not stored then drop_old(key) end
  number = redis.call('HINCRBY', key, writer, forgotten and mark[1] + 1 or 1) -- who was dropped counts on
  redis.call('HSET', key, writer .. '#', tag .. ' ' .. now)
  return { number, lost or '', tonumber(since or '0') }
end
