"""Which event ids were processed before: packed numbers in Redis sets, in buckets of an hour.

Redis stores a set of at most 512 numbers of 32 bits as a sorted array, so an id costs 4 to 5 bytes instead of a key of
its own. A number that is present is not proof: of a million ids about one shares its number with another. So the filter
may decide about counts, and never about what the log stores.
"""

import hashlib
from datetime import datetime
from typing import NamedTuple

_HOUR = 3600
# Events of an hour that is long past are few, or an import of years.
_RECENT_SECONDS = 86_400
_OLD_SECONDS = 30 * 86_400

# `add_id(prefix, bucket, shard, number, ttl)` adds an id and returns whether it is new; `ttl` is an hour more than the
# ids are needed. A set that is full is followed by four on the next level, so a busy hour is packed as densely as a
# quiet one. 8 + 4 x 510 bytes fill an allocation of 2,048. A key of another type is replaced. The names of the keys are
# built here: all contain the hash tag of a declared key.
ADD_ID = """
local function add_id(prefix, bucket, shard, number, ttl)
  local level, shards = 0, 128
  while true do
    local key = prefix .. bucket .. ':' .. level .. ':' .. (shard % shards)
    local size = redis.pcall('SCARD', key)
    if type(size) == 'table' then
      redis.call('DEL', key)
      size = 0
    end
    if size < 510 then
      local added = redis.call('SADD', key, number)
      -- Sets of a recent hour are complete an hour after their first id.
      if size == 0 or string.sub(bucket, 1, 3) == 'old' then redis.call('EXPIRE', key, ttl) end
      return added == 1
    end
    if redis.call('SISMEMBER', key, number) == 1 then return false end
    level, shards = level + 1, shards * 4
  end
end
"""


class FilterEntry(NamedTuple):
    """The arguments of `add_id` for one event."""

    bucket: str
    shard: int
    number: int


def filter_entry(event_id: str, ts: datetime, now: float) -> FilterEntry:
    """Return where an event is marked; the same event is marked at the same place for a day. `now` is Unix time."""
    digest = hashlib.blake2b(event_id.encode(), digest_size=8).digest()
    at = ts.timestamp()
    bucket = f"{at // _HOUR:.0f}" if at > now - _RECENT_SECONDS else f"old-{at // _OLD_SECONDS:.0f}"
    return FilterEntry(bucket, int.from_bytes(digest[4:], "little"), int.from_bytes(digest[:4], "little", signed=True))
