"""The windows, and their refresh: events are counted in slices, which are added up each second."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from contracts import redis_keys
from contracts.redis_keys import Timeframe
from feature_sync.connections import AnyRedis

_log = logging.getLogger(__name__)
# KEYS: the window, then its slices. ARGV: its TTL. A slice of another type would block the window for a day, so it is
# removed. Returns how many were removed.
_ADD_UP = """
local removed = 0
local done = redis.pcall('ZUNIONSTORE', KEYS[1], #KEYS - 1, unpack(KEYS, 2))
if type(done) == 'table' then
  for i = 2, #KEYS do
    local type = redis.call('TYPE', KEYS[i]).ok
    if type ~= 'zset' and type ~= 'set' and type ~= 'none' then removed = removed + redis.call('DEL', KEYS[i]) end
  end
  redis.call('ZUNIONSTORE', KEYS[1], #KEYS - 1, unpack(KEYS, 2))
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return removed
"""


@dataclass(frozen=True)
class Window:
    """A sliding window of `seconds`, cut into slices."""

    name: Timeframe
    seconds: int
    slice_seconds: int

    def slice_of(self, at: float) -> int:
        """Return the number of the slice of a Unix time."""
        return math.floor(at / self.slice_seconds)

    def slices(self, now: float) -> range:
        """Return the numbers of the slices of the window."""
        last = self.slice_of(now)
        return range(last - self.seconds // self.slice_seconds, last + 1)


WINDOWS = (Window("1h", 3600, 60), Window("24h", 86_400, 900))


class HotWindows:
    """Refreshes `hot:1h` and `hot:24h`; they expire by themselves if they are not refreshed."""

    def __init__(self, redis: AnyRedis, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._now = now

    async def refresh(self) -> None:
        """Add up the slices of each window."""
        now = self._now()
        for window in WINDOWS:
            slices = [redis_keys.hot_bucket(window.name, number) for number in window.slices(now)]
            keys = [redis_keys.hot(window.name), *slices]
            removed = await self._redis.eval(_ADD_UP, len(keys), *keys, window.seconds)
            if removed:
                _log.warning("%d slices of hot:%s had another type and were removed", removed, window.name)
