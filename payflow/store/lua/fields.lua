-- What a step needs of a record, in the order that the wrapper reads it.
local FIELDS = {
  'state', 'ver', 'owner', 'asset', 'units', 'data', 'hash', 'made', 'since', 'tries', 'vel', 'parked', 'sending', 'fence',
}
