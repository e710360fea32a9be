"""Live features: users' latest interactions and trending counts, in Redis within a second of the event."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts import redis_keys
from contracts.events import INTERACTION_WEIGHT, BehaviorEvent, InteractionType
from contracts.user_blob import History, LiveHistory, MalformedBlobError
from feature_sync.connections import REDIS_ERRORS, AnyRedis, get_many
from feature_sync.hot.windows import WINDOWS, Window

LIVE_SECONDS = 90 * 86_400
# Longer than an unfinished entry can wait before it is delivered again.
APPLIED_SECONDS = 86_400

# KEYS: the history, then markers. ARGV: the expected history, the new history, both TTLs. Returns 2 if the key had
# another type and was replaced: MGET returns nothing for it.
_SWAP = """
local held = redis.pcall('GET', KEYS[1])
local foreign = type(held) == 'table'
if ((not foreign and held) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
for i = 2, #KEYS do redis.call('SET', KEYS[i], '', 'EX', ARGV[4]) end
return foreign and 2 or 1
"""

# KEYS: marker and slice of each event. ARGV: the slices' TTL, then weight and dataset of each event. A slice of another
# type is replaced.
_COUNT = """
for i = 1, #KEYS, 2 do
  if redis.call('SET', KEYS[i], '', 'NX', 'EX', ARGV[1]) then
    local type = redis.call('TYPE', KEYS[i + 1]).ok
    if type ~= 'zset' and type ~= 'none' then redis.call('DEL', KEYS[i + 1]) end
    redis.call('ZINCRBY', KEYS[i + 1], ARGV[i + 1], ARGV[i + 2])
    redis.call('EXPIRE', KEYS[i + 1], ARGV[1])
  end
end
"""


_FOREIGN = 2
_log = logging.getLogger(__name__)


class _Change(NamedTuple):
    """A user's history before and after, and the markers of the events that make the difference."""

    key: str
    old: bytes
    new: bytes
    markers: list[str]


class LiveFeatures:
    """Applies each event once.

    Each history and each window has a marker per event, set in the script that applies it, so an entry that is
    delivered again changes nothing. `now` is Unix time.
    """

    def __init__(self, redis: AnyRedis, now: Callable[[], float]) -> None:
        self._redis = redis
        self._now = now

    async def apply(self, events: Sequence[BehaviorEvent]) -> int:
        """Add events to live histories and trending counts, and return how many were new; exposures don't count.

        Raises `OverflowError` for a time before 1970; earlier events of the batch are not applied again.
        """
        wanted = {event.event_id: event for event in events if event.type != "exposure"}
        if not wanted:
            return 0
        by_user: dict[int, list[BehaviorEvent]] = defaultdict(list)
        for event in wanted.values():
            by_user[event.user_id].append(event)
        added = 0
        while by_user:
            # Users whose history another replica changed in between are retried.
            by_user, fresh = await self._append(by_user)
            added += fresh
        for window in WINDOWS:
            await self._count(window, list(wanted.values()))
        return added

    async def takes_writes(self) -> bool:
        """Return whether Redis accepts writes now."""
        try:
            await self._redis.set(redis_keys.WRITE_PROBE, "", ex=1)
        except REDIS_ERRORS:
            return False
        return True

    async def _append(self, by_user: Mapping[int, list[BehaviorEvent]]) -> tuple[dict[int, list[BehaviorEvent]], int]:
        """Append to the users' histories; return those to retry, and how many events were new."""
        keys = {user: redis_keys.live_history(user) for user in by_user}
        wanted = [
            [keys[user], *(redis_keys.applied_event(keys[user], event.event_id) for event in events)]
            for user, events in by_user.items()
        ]
        found = iter(await get_many(self._redis, [key for keys_of_user in wanted for key in keys_of_user]))
        changes: dict[int, _Change] = {}
        now = self._now()
        for user, events in by_user.items():
            blob, *marks = islice(found, 1 + len(events))
            fresh = [event for event, mark in zip(events, marks, strict=True) if mark is None]
            if fresh:
                markers = [redis_keys.applied_event(keys[user], event.event_id) for event in fresh]
                changes[user] = _Change(
                    keys[user], blob or b"", _history(blob, now).append(*_columns(fresh, now)).pack(), markers
                )
        if not changes:
            return {}, 0
        writing = self._redis.pipeline(transaction=False)
        for change in changes.values():
            arguments: list[Any] = [change.key, *change.markers, change.old, change.new, LIVE_SECONDS, APPLIED_SECONDS]
            writing.eval(_SWAP, 1 + len(change.markers), *arguments)
        done = dict(zip(changes, await writing.execute(), strict=True))
        added = sum(len(change.markers) for user, change in changes.items() if done[user])
        for user, change in changes.items():
            if done[user] == _FOREIGN:
                _log.warning("%s had another type than a live history and was replaced", change.key)
        return {user: by_user[user] for user in changes if not done[user]}, added

    async def _count(self, window: Window, events: list[BehaviorEvent]) -> None:
        now = self._now()
        keys: list[str] = []
        arguments: list[Any] = [window.seconds + window.slice_seconds]
        for event in events:
            # A client's clock may be fast.
            at = min(event.ts.timestamp(), now)
            if at > now - window.seconds:
                keys.append(redis_keys.applied_event(redis_keys.hot(window.name), event.event_id))
                keys.append(redis_keys.hot_bucket(window.name, window.slice_of(at)))
                arguments += [INTERACTION_WEIGHT[InteractionType.of(event.type)], event.dataset_id]
        if keys:
            await self._redis.eval(_COUNT, len(keys), *keys, *arguments)


def _history(blob: bytes | None, now: float) -> LiveHistory:
    if blob is None:
        return LiveHistory()
    try:
        live = LiveHistory.unpack(blob)
    except MalformedBlobError:
        return LiveHistory()
    past = History(live.history.ids, np.minimum(live.history.ts, int(now)), live.history.types)
    return LiveHistory(live.sequence, past)


def _columns(events: list[BehaviorEvent], now: float) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    return (
        np.array([event.dataset_id for event in events], np.int64),
        # A future event must not precede all of today's: a clock may be fast, and an earlier release accepted any time.
        np.array([int(min(event.ts.timestamp(), now)) for event in events], np.int64),
        np.array([InteractionType.of(event.type) for event in events], np.uint8),
    )
