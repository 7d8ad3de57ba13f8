-- Index writes are gathered over the whole call and written once an index. A record is written at most once a call:
-- whoever comes second does not know its new version.
local added, removed = {}, {}
local SLICE = 2000

local function put_in(index, score, id)
  local list = added[index]
  if not list then
    list = {}
    added[index] = list
  end
  list[#list + 1] = score
  list[#list + 1] = id
end

local function take_out(index, id)
  local list = removed[index]
  if not list then
    list = {}
    removed[index] = list
  end
  list[#list + 1] = id
end

local function write_lists(command, lists)
  for index, list in pairs(lists) do
    for first = 1, #list, SLICE do
      redis.call(command, index, unpack(list, first, math.min(#list, first + SLICE - 1)))
    end
  end
end

local function write_indexes()
  write_lists('ZREM', removed)
  write_lists('ZADD', added)
end
