"""The Redis Stream as a queue: entries stay until they are done, even if a consumer dies."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from contracts import redis_keys
from feature_sync.connections import BLOCK_SECONDS, AnyRedis
from feature_sync.events.entries import RawEntry

# After this time without activity on an entry its consumer is considered dead.
IDLE_MS = 60_000
FIRST = b"0-0"
# Both or neither: an entry that is only acknowledged would stay forever.
_DONE = """
for i = 2, #ARGV do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  redis.call('XDEL', KEYS[1], ARGV[i])
end
"""


class EventStream:
    """This consumer's side of the stream."""

    def __init__(self, redis: AnyRedis, consumer: str, size: int, block_seconds: float = BLOCK_SECONDS) -> None:
        self._redis = redis
        self._consumer = consumer
        self._size = size
        self._block_ms = int(block_seconds * 1000)

    async def prepare(self) -> None:
        """Create stream and group if they are missing: after a loss of Redis' data they have to be created again."""
        try:
            await self._redis.xgroup_create(redis_keys.EVENT_STREAM, redis_keys.EVENT_STREAM_GROUP, "0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def take(self) -> list[RawEntry]:
        """Return new entries; wait up to a second if there are none."""
        answer = await self._redis.xreadgroup(
            redis_keys.EVENT_STREAM_GROUP,
            self._consumer,
            {redis_keys.EVENT_STREAM: ">"},
            count=self._size,
            block=self._block_ms,
        )
        return _entries(answer)

    async def pending(self, after: bytes = FIRST) -> list[RawEntry]:
        """Return entries that this consumer has taken and not finished, oldest first, after the id `after`."""
        answer = await self._redis.xreadgroup(
            redis_keys.EVENT_STREAM_GROUP, self._consumer, {redis_keys.EVENT_STREAM: after}, count=self._size
        )
        return _entries(answer)

    async def claim(self) -> list[RawEntry]:
        """Take over entries of consumers that are considered dead."""
        claimed: Any = await self._redis.xautoclaim(
            redis_keys.EVENT_STREAM, redis_keys.EVENT_STREAM_GROUP, self._consumer, IDLE_MS, count=self._size
        )
        return _existing(claimed[1])

    async def done(self, ids: Sequence[bytes]) -> None:
        """Acknowledge entries and remove them."""
        if ids:
            await self._redis.eval(_DONE, 1, redis_keys.EVENT_STREAM, redis_keys.EVENT_STREAM_GROUP, *ids)

    async def length(self) -> int:
        """Return the number of unfinished entries."""
        return int(await self._redis.xlen(redis_keys.EVENT_STREAM))


def position(entry_id: bytes) -> tuple[int, int]:
    """Return the sort key of an entry's id."""
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds), int(number or 0)


def _entries(answer: Any) -> list[RawEntry]:
    """Return the entries of an XREADGROUP answer for one stream: `[[name, entries]]`, or nothing."""
    return _existing(answer[0][1]) if answer else []


def _existing(entries: Any) -> list[RawEntry]:
    # redis-py returns {} for an entry that was deleted since.
    return [(entry_id, fields or None) for entry_id, fields in entries]
