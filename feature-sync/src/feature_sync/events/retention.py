"""Trims a stream once all of its groups have an entry."""

from collections.abc import Sequence

from contracts import redis_keys
from feature_sync.connections import AnyRedis, Script

# A node of a stream has a hundred entries at most, and is freed as a whole.
_ENTRIES_PER_CALL = 1000
_CALLS = 50

# KEYS: the stream. ARGV: the most entries, the group of the release before, after which idle time (ms) of all its
# consumers it is removed, and the groups without which nothing is trimmed. Returns how many entries were removed. Only
# what every group has acknowledged is removed, also one that a user has added. The group of the release before counts
# not: ours have read the stream from its beginning.
_TRIM = Script("""
local groups, first = {}, nil
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for _, found in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #found, 2 do group[found[i]] = found[i + 1] end
  groups[group.name] = group
end
for i = 4, #ARGV do
  if not groups[ARGV[i]] then return 0 end
end
if groups[ARGV[2]] then
  local idle = true
  for _, found in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[2])) do
    for i = 1, #found, 2 do
      if found[i] == 'idle' and found[i + 1] < tonumber(ARGV[3]) then idle = false end
    end
  end
  if idle then redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[2]) end
  groups[ARGV[2]] = nil
end
for name, group in pairs(groups) do
  local oldest
  if group.pending > 0 then
    local ms, number = string.match(redis.call('XPENDING', KEYS[1], name)[2], '(%d+)-(%d+)')
    oldest = {tonumber(ms), tonumber(number)}
  else
    local ms, number = string.match(group['last-delivered-id'], '(%d+)-(%d+)')
    oldest = {tonumber(ms), tonumber(number) + 1}
  end
  if not first or oldest[1] < first[1] or (oldest[1] == first[1] and oldest[2] < first[2]) then first = oldest end
end
local id = string.format('%.0f-%.0f', first[1], first[2])
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', id, 'LIMIT', ARGV[1])
-- What is left lies in one node.
if removed < tonumber(ARGV[1]) - 100 then removed = removed + redis.call('XTRIM', KEYS[1], 'MINID', id) end
return removed
""")


class StreamRetention:
    """Removes entries that all groups have; without one of `groups`, it removes none."""

    def __init__(self, redis: AnyRedis, stream: str, groups: Sequence[str], takeover_seconds: float) -> None:
        self._redis = redis
        self._stream = stream
        self._arguments: tuple[str | int, ...] = (redis_keys.LEGACY_GROUP, int(takeover_seconds * 1000), *groups)

    async def trim(self) -> None:
        """Remove what can be removed, a bounded number of entries per call."""
        for _ in range(_CALLS):
            removed = await _TRIM.run(self._redis, [self._stream], [_ENTRIES_PER_CALL, *self._arguments])
            if not removed:
                return
