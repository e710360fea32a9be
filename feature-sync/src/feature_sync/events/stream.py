"""The Redis Stream as a queue: entries stay until they are done, whoever dies in between."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from redis.exceptions import ResponseError

from contracts import redis_keys
from contracts.events import BehaviorEvent, events_of
from feature_sync.connections import BLOCK_SECONDS, AnyRedis

REJECTED = f"{redis_keys.EVENT_STREAM}:rejected"
MAX_REJECTED = 10_000
# A consumer that left an entry alone for this long is dead.
IDLE_MS = 60_000
# Both or neither: an entry that is only acknowledged would stay for ever.
_DONE = """
for i = 2, #ARGV do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  redis.call('XDEL', KEYS[1], ARGV[i])
end
"""

_Entry = tuple[bytes, dict[bytes, bytes] | None]


@dataclass(frozen=True)
class Batch:
    """Entries taken from the stream: their ids, the events among them, and those that are none."""

    ids: list[bytes]
    events: list[BehaviorEvent]
    rejected: list[tuple[bytes, dict[bytes, bytes], str]]

    def __len__(self) -> int:
        return len(self.ids)


class EventStream:
    """This consumer's side of the stream."""

    def __init__(self, redis: AnyRedis, consumer: str, size: int) -> None:
        self._redis = redis
        self._consumer = consumer
        self._size = size

    async def prepare(self) -> None:
        """Make stream and group unless they are there: after a loss of Redis' data they have to be made again."""
        try:
            await self._redis.xgroup_create(redis_keys.EVENT_STREAM, redis_keys.EVENT_STREAM_GROUP, "0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def unfinished(self) -> Batch:
        """Return entries that were taken before and not done: by this consumer, or by one that died."""
        answer = await self._redis.xreadgroup(
            redis_keys.EVENT_STREAM_GROUP, self._consumer, {redis_keys.EVENT_STREAM: "0"}, count=self._size
        )
        own = _entries(answer)
        if own:
            return _batch(own)
        claimed = await self._redis.xautoclaim(
            redis_keys.EVENT_STREAM, redis_keys.EVENT_STREAM_GROUP, self._consumer, IDLE_MS, count=self._size
        )
        return _batch(claimed[1])

    async def take(self) -> Batch:
        """Return new entries, waiting up to a second for some."""
        answer = await self._redis.xreadgroup(
            redis_keys.EVENT_STREAM_GROUP,
            self._consumer,
            {redis_keys.EVENT_STREAM: ">"},
            count=self._size,
            block=int(BLOCK_SECONDS * 1000),
        )
        return _batch(_entries(answer))

    async def reject(self, batch: Batch) -> None:
        """Put what is no event aside, so that it blocks nobody; the latest are kept to be looked at."""
        if not batch.rejected:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for entry, fields, why in batch.rejected:
            kept: dict[Any, Any] = {b"entry": entry, b"error": why.encode(), **fields}
            pipeline.xadd(REJECTED, kept, maxlen=MAX_REJECTED, approximate=True)
        await pipeline.execute()

    async def done(self, batch: Batch) -> None:
        """Acknowledge entries and remove them."""
        await self._redis.eval(_DONE, 1, redis_keys.EVENT_STREAM, redis_keys.EVENT_STREAM_GROUP, *batch.ids)

    async def length(self) -> int:
        """Return how many entries are not done."""
        return int(await self._redis.xlen(redis_keys.EVENT_STREAM))


def _entries(answer: Any) -> list[_Entry]:
    """Return the entries of an XREADGROUP answer for one stream: `[[name, entries]]`, or nothing."""
    return answer[0][1] if answer else []


def _batch(entries: Sequence[_Entry]) -> Batch:
    ids: list[bytes] = []
    events: list[BehaviorEvent] = []
    rejected = []
    for entry, fields in entries:
        ids.append(entry)
        try:
            events += events_of(fields or {})
        except (KeyError, ValidationError) as error:
            rejected.append((entry, fields or {}, str(error)[:500]))
    return Batch(ids, events, rejected)
