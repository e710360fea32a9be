"""The Redis scripts of the sliding windows. Each one touches a bounded number of members, and is atomic.

The keys of a window, all in one slot of a cluster:

    hot:24h                             what readers see: a sorted set of dataset ids by weight
    {hot:24h}:state                     hash: `epoch`; `building` while it is built; `from:<epoch>` for each source
    {hot:24h}:slices:<epoch>            hash: the weight in each slice of an epoch
    {hot:24h}:<epoch>:<slice>:<shard>   hash: the weight of each dataset in a slice; small ones are packed arrays
    {hot:24h}:next                      the sorted set of an epoch that is being built

The sorted set is the sum of the epoch's slices: each script changes both, by the same amounts. If Redis has lost the
sorted set or a slice (eviction, another type, an expiry), an epoch begins: all fields of the earlier slices are moved
into it a few at a time, and then its sorted set replaces the old one.
"""

from contracts.event_filter import ADD_ID
from feature_sync.connections import Script

SLICE_SHARDS = 128

# `open(hot)` returns the state of a window, and begins an epoch if the sorted set is not the sum of the slices.
_WINDOW = """
local function slice_key(window, epoch, slice, shard)
  return window.base .. epoch .. ':' .. slice .. ':' .. shard
end

local function begin(window)
  local state = window.base .. 'state'
  if window.epoch > 0 then redis.call('HSET', state, 'from:' .. window.epoch, 1) end
  redis.call('UNLINK', window.base .. 'next')
  -- From the clock: a window whose state was lost must not meet its earlier slices again.
  window.epoch = math.max(window.epoch + 1, tonumber(redis.call('TIME')[1]))
  redis.call('HSET', state, 'epoch', window.epoch, 'building', 1)
  window.building = true
  window.target = window.base .. 'next'
  window.slices = window.base .. 'slices:' .. window.epoch
end

local function open(hot)
  local window = {hot = hot, base = '{' .. hot .. '}:'}
  local state = window.base .. 'state'
  local stored = redis.pcall('HMGET', state, 'epoch', 'building')
  if stored.err then
    redis.call('DEL', state)
    stored = {false, false}
  end
  window.epoch = tonumber(stored[1] or 0)
  window.building = stored[2] and true or false
  window.target = window.building and window.base .. 'next' or hot
  window.slices = window.base .. 'slices:' .. window.epoch
  if window.epoch == 0 then
    begin(window)
    return window
  end
  local kind, listed = redis.call('TYPE', window.target).ok, redis.call('TYPE', window.slices).ok
  if listed ~= 'hash' and listed ~= 'none' then
    redis.call('UNLINK', window.slices, window.target)
    begin(window)
  elseif kind ~= 'zset' and (kind ~= 'none' or listed == 'hash') then
    redis.call('UNLINK', window.target)
    begin(window)
  end
  return window
end

local function add(window, slice, shard, dataset, weight, ttl)
  local key = slice_key(window, window.epoch, slice, shard)
  local stored = redis.pcall('HINCRBYFLOAT', key, dataset, weight)
  if type(stored) == 'table' then
    redis.call('DEL', key)
    stored = redis.call('HINCRBYFLOAT', key, dataset, weight)
  end
  -- The TTL is set once, with the first field.
  if tonumber(stored) == tonumber(weight) and redis.call('HLEN', key) == 1 then redis.call('EXPIRE', key, ttl) end
  redis.call('ZINCRBY', window.target, weight, dataset)
end
"""

# KEYS: the sorted sets of the windows; the filter of events belongs to the first. ARGV: the filter's TTL, the slices'
# TTL of each window, then for each event: its marker in the filter (`add_id`), weight, dataset, the dataset's shard,
# its id, and for each window its slice or -1. Returns how many events were new.
COUNT = Script(
    ADD_ID
    + _WINDOW
    + """
local count = #KEYS
local windows, added = {}, 0
for w = 1, count do
  windows[w] = open(KEYS[w])
  windows[w].sums = {}
end
local prefix = 'counted:' .. windows[1].base
for at = count + 2, #ARGV, 7 + count do
  if add_id(prefix, ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[1]) then
    added = added + 1
    for w = 1, count do
      local window, slice = windows[w], ARGV[at + 6 + w]
      -- The release before had a marker for each event.
      if slice ~= '-1' and redis.call('EXISTS', 'applied:' .. window.base .. ARGV[at + 6]) == 0 then
        add(window, slice, ARGV[at + 5], ARGV[at + 4], ARGV[at + 3], ARGV[w + 1])
        window.sums[slice] = (window.sums[slice] or 0) + tonumber(ARGV[at + 3])
      end
    end
  end
end
for w = 1, count do
  for slice, sum in pairs(windows[w].sums) do redis.call('HINCRBYFLOAT', windows[w].slices, slice, sum) end
end
return added
"""
)

# KEYS: the sorted set. ARGV: its TTL, then the slices of the release before. Returns the epoch, whether it is being
# built, the slices of the release before, and the earlier epochs whose slices are still to be moved. A slice of the
# release before begins an epoch.
PREPARE = Script(
    _WINDOW
    + """
local window = open(KEYS[1])
local waiting = {}
for i = 2, #ARGV do
  if redis.call('EXISTS', window.base .. ARGV[i]) == 1 then table.insert(waiting, tonumber(ARGV[i])) end
end
if #waiting > 0 and not window.building then begin(window) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
local sources = {}
for _, field in ipairs(redis.call('HKEYS', window.base .. 'state')) do
  local epoch = string.match(field, '^from:(%d+)$')
  if epoch then table.insert(sources, tonumber(epoch)) end
end
return {window.epoch, window.building and 1 or 0, waiting, sources}
"""
)

# KEYS: the sorted set. ARGV: the epoch and the number of a slice, the shard to begin with, the number of shards, the
# most fields, what to do with them (`move`, `subtract`), the slices' TTL. Takes fields out of the slice, and returns
# the shard to go on with, -1 after the last field. If fields of a slice are lost, an epoch begins.
TAKE = Script(
    _WINDOW
    + """
local window = open(KEYS[1])
local epoch, slice, shard, shards = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local left, moves = tonumber(ARGV[5]), ARGV[6] == 'move'
if moves == (epoch == window.epoch) then return -1 end
local slices = window.base .. 'slices:' .. epoch
local sum = 0
while shard < shards and left > 0 do
  local key = slice_key(window, epoch, slice, shard)
  local found = redis.pcall('HRANDFIELD', key, left, 'WITHVALUES')
  if found.err then
    redis.call('DEL', key)
    found = {}
  end
  local fields = {}
  for i = 1, #found, 2 do
    table.insert(fields, found[i])
    sum = sum + tonumber(found[i + 1])
    if moves then
      add(window, slice, shard, found[i], found[i + 1], ARGV[7])
    else
      redis.call('ZINCRBY', window.target, -tonumber(found[i + 1]), found[i])
    end
  end
  if #fields > 0 then
    redis.call('HDEL', key, unpack(fields))
    left = left - #fields
  end
  if left > 0 then shard = shard + 1 end
end
if sum ~= 0 then
  redis.call('HINCRBYFLOAT', slices, slice, -sum)
  if moves then
    redis.call('HINCRBYFLOAT', window.slices, slice, sum)
  else
    redis.call('ZREMRANGEBYSCORE', window.target, '-inf', '0.000001')
  end
end
if shard < shards then return shard end
-- A late event, or another worker, may have added to a shard that was empty.
for each = 0, shards - 1 do
  if redis.call('EXISTS', slice_key(window, epoch, slice, each)) == 1 then return each end
end
local lost = tonumber(redis.call('HGET', slices, slice) or 0)
redis.call('HDEL', slices, slice)
if not moves and lost > 0.000001 then begin(window) end
return -1
"""
)

# KEYS: the sorted set. ARGV: a slice of the release before, the slice that it becomes or -1, the number of shards, the
# most members, the slices' TTL. Moves members; returns whether some are left. A shard is the remainder of the last
# digits, as in `shard_of`.
TAKE_LEGACY = Script(
    _WINDOW
    + """
local window = open(KEYS[1])
local key = window.base .. ARGV[1]
local found = redis.pcall('ZPOPMIN', key, ARGV[4])
if found.err then
  redis.call('DEL', key)
  return 0
end
local sum = 0
if ARGV[2] ~= '-1' then
  for i = 1, #found, 2 do
    local shard = tonumber(string.sub(found[i], -9)) or 0
    add(window, ARGV[2], shard % tonumber(ARGV[3]), found[i], found[i + 1], ARGV[5])
    sum = sum + tonumber(found[i + 1])
  end
  if sum ~= 0 then redis.call('HINCRBYFLOAT', window.slices, ARGV[2], sum) end
end
return redis.call('EXISTS', key)
"""
)

# KEYS: the sorted set. ARGV: an earlier epoch without fields. It is no source any more.
FORGET = Script(
    _WINDOW
    + """
local window = open(KEYS[1])
local slices = window.base .. 'slices:' .. ARGV[1]
if tonumber(ARGV[1]) ~= window.epoch and redis.call('HLEN', slices) == 0 then
  redis.call('DEL', slices)
  redis.call('HDEL', window.base .. 'state', 'from:' .. ARGV[1])
end
"""
)

# KEYS: the sorted set. ARGV: the epoch that is complete, the TTL. Its sorted set replaces the old one.
FINISH = Script(
    _WINDOW
    + """
local window = open(KEYS[1])
if not window.building or window.epoch ~= tonumber(ARGV[1]) then return end
redis.call('UNLINK', KEYS[1])
if redis.call('EXISTS', window.target) == 1 then redis.call('RENAME', window.target, KEYS[1]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('HDEL', window.base .. 'state', 'building')
"""
)


def shard_of(dataset_id: int) -> int:
    """Return the shard of a dataset in each slice."""
    return dataset_id % 1_000_000_000 % SLICE_SHARDS
