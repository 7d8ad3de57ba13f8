-- {'fund', owner, asset, units, 'in' or 'out', reference, earning, most}: money from or to outside, once a reference.
-- `earning` names what was earned, or taken back, in the owner's list of earnings; '' for money that is no earning. Of an
-- earning no more than `most` units are ever taken back.
function operations.fund.check(P, op)
  local _, owner, asset, units, way, reference = unpack(op, 1, 6)
  local key, space = P .. 'acct:' .. owner, P .. 'uniq:fund'
  local print = table.concat({ owner, asset, units, way }, ' ')
  local known = redis.call('HGET', space, reference)
  if known then return known == print and 'exists' or 'reused' end
  local funded, owed, over = balance(key, asset .. '.funded'), '0', false
  if way == 'in' then
    owed, over = put_available(key, asset, units)
    if owed ~= '0' then owed = '-' .. owed end
    over = put(key, asset .. '.funded', units) or over
  else
    if less(funded, units) then return 'short' end
    if op[8] and less(op[8], add(redis.call('HGET', P .. 'clawed', op[7]) or '0', units)) then return 'spent' end
    owed, over = take_or_owe(key, asset, units)
    set_balance(key, asset .. '.funded', minus(funded, units))
  end
  if over then return 'overflow' end
  return nil, { space, print, owed }
end

function operations.fund.write(P, op, known)
  local _, owner, asset, units, way, reference = unpack(op, 1, 6)
  redis.call('HSET', known[1], reference, known[2])
  local from, to = 'outside', 'available'
  if way == 'out' then from, to = to, from end
  journal(P, owner, asset, from, to, units, known[3], reference)
  if op[8] then redis.call('HINCRBY', P .. 'clawed', op[7], units) end
  if op[7] ~= '' then
    redis.call('XADD', P .. 'earn:' .. owner, '*', 'e', table.concat({ way, asset, units, now, op[7] }, ' '))
  end
end
