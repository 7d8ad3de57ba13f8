-- Accounts: what a call has computed is kept here until its group is written, so that a later record of the same call
-- sees the balance that an earlier one left.
local accounts = {}

local function balance(key, field)
  local account = accounts[key]
  if not account then
    account = { now = {}, dirty = {} }
    accounts[key] = account
  end
  local units = account.now[field]
  if not units then
    units = redis.call('HGET', key, field) or '0'
    -- Figures are compared by their length: one below zero would pass for a large one. The group is `broken`.
    if string.sub(units, 1, 1) == '-' then error('less than nothing in ' .. field) end
    account.now[field] = units
  end
  return units
end

local function set_balance(key, field, units)
  accounts[key].now[field] = units
  accounts[key].dirty[field] = true
end

local function put(key, field, units)
  local sum = add(balance(key, field), units)
  set_balance(key, field, sum)
  return less(MAX, sum)
end

-- Whatever comes in first settles what the owner owes. Gives the part that settled, and whether the account overflows.
local function put_available(key, asset, units)
  local owed = balance(key, asset .. '.owed')
  local settled = less(owed, units) and owed or units
  if settled ~= '0' then set_balance(key, asset .. '.owed', minus(owed, settled)) end
  return settled, put(key, asset .. '.available', minus(units, settled))
end

-- Takes as much as is there; the rest is owed. Gives the rest.
local function take_or_owe(key, asset, units)
  local available = balance(key, asset .. '.available')
  local taken = less(available, units) and available or units
  local owed = minus(units, taken)
  set_balance(key, asset .. '.available', minus(available, taken))
  return owed, owed ~= '0' and put(key, asset .. '.owed', owed)
end

-- Moves units between positions. Gives an error code, or nil and how `owed` changed.
-- AVAILABLE to PAID is a statement about the world (the money has left), so it may leave a debt; AVAILABLE to HELD may not.
local function post(key, asset, units, from, to)
  local owed, over = '0', false
  if from == 'available' and to == 'paid' then
    owed, over = take_or_owe(key, asset, units)
  else
    local source = balance(key, asset .. '.' .. from)
    if less(source, units) then return 'short' end
    set_balance(key, asset .. '.' .. from, minus(source, units))
  end
  if over then return 'overflow' end
  if to == 'available' then
    owed, over = put_available(key, asset, units)
    if owed ~= '0' then owed = '-' .. owed end
  else
    over = put(key, asset .. '.' .. to, units)
  end
  if over then return 'overflow' end
  return nil, owed
end

local function write_accounts()
  for key, account in pairs(accounts) do
    if next(account.dirty) then
      local set = {}
      for field in pairs(account.dirty) do
        set[#set + 1] = field
        set[#set + 1] = account.now[field]
      end
      redis.call('HSET', key, unpack(set))
      account.dirty = {}
    end
  end
end

-- A refused group must leave no trace in the running balances.
local function forget_accounts()
  for key, account in pairs(accounts) do
    for field in pairs(account.dirty) do account.now[field] = nil end
    account.dirty = {}
  end
end

-- The rail's side of a record: which figures change, as {figure, by how much, …}, and the postings that say so. They state what
-- the world did, so that none is too low for it; a double is near enough to see that a sum is far inside int64.
local RAIL_SHARE, RAIL_CHANGES, RAIL_POSTINGS = 1, 2, 3
local function overflows_on_rail(P, rail)
  local changes = rail[RAIL_CHANGES]
  for i = 1, #changes, 2 do
    if math.abs((redis.call('HGET', P .. 'rails', changes[i]) or 0) + changes[i + 1]) >= 4e18 then return true end
  end
end

local function write_on_rail(P, rec, rail)
  local share, changes = rail[RAIL_SHARE], rail[RAIL_CHANGES]
  if share == '' then redis.call('HDEL', rec, 'share') else redis.call('HSET', rec, 'share', share) end
  for i = 1, #changes, 2 do redis.call('HINCRBY', P .. 'rails', changes[i], changes[i + 1]) end
  for _, posting in ipairs(rail[RAIL_POSTINGS]) do redis.call('XADD', P .. 'journal', '*', 'e', posting) end
end
