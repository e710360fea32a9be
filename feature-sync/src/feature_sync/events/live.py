"""Live features: users' latest interactions and trending counts, in Redis within a second of the event."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from redis.asyncio import RedisCluster

from contracts import redis_keys
from contracts.events import BehaviorEvent, InteractionType
from contracts.user_blob import LIVE_SECONDS
from feature_sync.connections import REDIS_ERRORS, AnyRedis, get_many
from feature_sync.events.histories import Interaction, add_interactions
from feature_sync.hot.counts import HotCounts

# KEYS: histories. ARGV: their TTL, then for each the expected and the new history. Returns for each 0 if another one
# was found, 2 if the key had another type and was replaced: MGET returns nothing for it.
_SWAP = """
local done = {}
for i = 1, #KEYS do
  local held = redis.pcall('GET', KEYS[i])
  local foreign = type(held) == 'table'
  if ((not foreign and held) or '') ~= ARGV[2 * i] then
    done[i] = 0
  else
    redis.call('SET', KEYS[i], ARGV[2 * i + 1], 'EX', ARGV[1])
    done[i] = foreign and 2 or 1
  end
end
return done
"""
# A history takes Redis 1 µs to read and 3 µs to swap; no call may hold up answers.
_HISTORIES_PER_READ, _HISTORIES_PER_CALL = 200, 50

_FOREIGN = 2
_log = logging.getLogger(__name__)


class _Change(NamedTuple):
    """A user's history before and after, and how many events make the difference."""

    key: str
    old: bytes
    new: bytes
    events: int


class LiveFeatures:
    """Applies each event once.

    A history that already contains an event stays as it is, and the counts have a filter of event ids. So an entry that
    is delivered again changes nothing. `now` is Unix time.
    """

    def __init__(self, redis: AnyRedis, now: Callable[[], float]) -> None:
        self._redis = redis
        self._now = now
        self._counts = HotCounts(redis, now)
        # On a cluster, each history can be on another node.
        self._histories_per_call = 1 if isinstance(redis, RedisCluster) else _HISTORIES_PER_CALL

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
        await self._counts.count(list(wanted.values()))
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
        keys = [redis_keys.live_history(user) for user in by_user]
        changes: dict[int, _Change] = {}
        now = int(self._now())
        found: list[bytes | None] = []
        for start in range(0, len(keys), _HISTORIES_PER_READ):
            found += await get_many(self._redis, keys[start : start + _HISTORIES_PER_READ])
        for (user, events), key, blob in zip(by_user.items(), keys, found, strict=True):
            changed, new = add_interactions(blob or b"", [_interaction(event, now) for event in events], now)
            if new:
                changes[user] = _Change(key, blob or b"", changed, new)
        if not changes:
            return {}, 0
        done = dict(zip(changes, await self._swap(list(changes.values())), strict=True))
        added = sum(change.events for user, change in changes.items() if done[user])
        for user, change in changes.items():
            if done[user] == _FOREIGN:
                _log.warning("%s had another type than a live history and was replaced", change.key)
        return {user: by_user[user] for user in changes if not done[user]}, added

    async def _swap(self, changes: Sequence[_Change]) -> list[int]:
        """Write histories that have not changed since; return what `_SWAP` does."""
        writing = self._redis.pipeline(transaction=False)
        for start in range(0, len(changes), self._histories_per_call):
            part = changes[start : start + self._histories_per_call]
            arguments: list[Any] = [LIVE_SECONDS, *(blob for change in part for blob in (change.old, change.new))]
            writing.eval(_SWAP, len(part), *(change.key for change in part), *arguments)
        return [code for codes in await writing.execute() for code in codes]


def _interaction(event: BehaviorEvent, now: int) -> Interaction:
    # A future event must not precede all of today's: a clock may be fast, and an earlier release accepted any time.
    return Interaction(event.dataset_id, min(int(event.ts.timestamp()), now), InteractionType.of(event.type))
