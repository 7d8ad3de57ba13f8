-- Money from or to outside, once a reference; `way` is 'in' or 'out'. `earning` names what was earned, or taken back, in the
-- owner's list of earnings; '' for money that is no earning. Of an earning no more than `most` units are ever taken back.
function operations.fund.check(P, owner, asset, units, way, reference, earning, most, posting)
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
    if most and less(most, add(redis.call('HGET', P .. 'clawed', earning) or '0', units)) then return 'spent' end
    owed, over = take_or_owe(key, asset, units)
    set_balance(key, asset .. '.funded', minus(funded, units))
  end
  if over then return 'overflow' end
  return nil, { space, print, owed }
end

function operations.fund.write(P, known, owner, asset, units, way, reference, earning, most, posting)
  redis.call('HSET', known[1], reference, known[2])
  local from, to = 'outside', 'available'
  if way == 'out' then from, to = to, from end
  journal(P, owner, asset, from, to, units, known[3], reference .. posting)
  if most then redis.call('HINCRBY', P .. 'clawed', earning, units) end
  if earning ~= '' then
    redis.call('XADD', P .. 'earn:' .. owner, '*', 'e', table.concat({ way, asset, units, now, earning }, ' '))
  end
end
