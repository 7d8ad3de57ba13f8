-- What a step needs of a record, in the order of `Row` in records.py: a test compares them.
local FIELDS = {
  'state', 'ver', 'owner', 'asset', 'units', 'data', 'hash', 'made', 'since', 'tries', 'parked', 'sending', 'mac', 'share', 'fence',
}
local FENCE = #FIELDS
