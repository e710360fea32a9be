"""Measures how far each consumer group is behind: in entries, and in seconds."""

from typing import NamedTuple

from feature_sync.bounds import BoundWatch
from feature_sync.connections import AnyRedis, Script
from feature_sync.metrics import Metrics

# KEYS: the stream. Returns Redis's time (ms), then for each group: name, unfinished entries, time of the oldest (ms) or
# -1. Redis doesn't know the lag of a group after some deletions; then all entries may be waiting.
_MEASURE = Script("""
local time = redis.call('TIME')
local answer = {time[1] * 1000 + math.floor(time[2] / 1000)}
if redis.call('EXISTS', KEYS[1]) == 0 then return answer end
for _, found in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #found, 2 do group[found[i]] = found[i + 1] end
  local oldest
  if group.pending > 0 then
    oldest = redis.call('XPENDING', KEYS[1], group.name)[2]
  else
    local waiting = redis.call('XRANGE', KEYS[1], '(' .. group['last-delivered-id'], '+', 'COUNT', 1)
    oldest = waiting[1] and waiting[1][1]
  end
  local entries = group.lag and group.pending + group.lag or redis.call('XLEN', KEYS[1])
  answer[#answer + 1] = {group.name, entries, oldest and tonumber(string.match(oldest, '%d+')) or -1}
end
return answer
""")


class GroupLag(NamedTuple):
    """The entries that a group has not finished, and the age of the oldest (s)."""

    entries: int = 0
    seconds: float = 0.0


class StreamLag:
    """The lag of each group of a stream, as it was measured last. It has a loop of its own: no sync delays it."""

    def __init__(self, redis: AnyRedis, stream: str, metrics: Metrics, watch: BoundWatch) -> None:
        self.groups: dict[str, GroupLag] = {}
        self._redis = redis
        self._stream = stream
        self._metrics = metrics
        self._watch = watch

    @property
    def entries(self) -> int:
        """The number of the group that is behind most."""
        return max((lag.entries for lag in self.groups.values()), default=0)

    @property
    def is_exceeded(self) -> bool:
        """Whether a group is further behind than the bound."""
        return self._watch.is_exceeded

    async def measure(self) -> None:
        """Ask Redis."""
        now, *groups = await _MEASURE.run(self._redis, [self._stream], [])
        found = {
            name.decode("utf-8", "replace"): GroupLag(entries, max(0.0, (now - oldest) / 1000) if oldest >= 0 else 0.0)
            for name, entries, oldest in groups
        }
        for gone in self.groups.keys() - found.keys():
            self._export(gone, GroupLag())
            self._watch.forget(group=gone)
        self.groups = found
        for name, lag in found.items():
            self._export(name, lag)
            details = f"group {name} is {lag.seconds:.0f} s behind: {lag.entries} entries wait"
            self._watch.check(lag.seconds, details, group=name)

    def _export(self, group: str, lag: GroupLag) -> None:
        self._metrics.lag.labels(group).set(lag.entries)
        self._metrics.lag_seconds.labels(group).set(lag.seconds)
