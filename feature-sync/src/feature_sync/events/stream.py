"""A consumer group of a Redis Stream: it has progress of its own, and entries stay pending until they are done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from feature_sync.connections import BLOCK_SECONDS, AnyRedis
from feature_sync.events.entries import RawEntry

TAKEOVER_SECONDS = 60.0
FIRST = b"0-0"

# KEYS: the stream. ARGV: the group, this consumer, the idle time (ms). Atomic, because a consumer that has just taken
# entries must not be removed: its entries would be lost. A consumer that lives after all is created again by its next
# read.
_REMOVE_CONSUMERS = """
local removed = 0
for _, found in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #found, 2 do consumer[found[i]] = found[i + 1] end
  if consumer.name ~= ARGV[2] and consumer.pending == 0 and consumer.idle >= tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    removed = removed + 1
  end
end
return removed
"""


@dataclass(frozen=True)
class Reading:
    """How a consumer reads: its name, entries per batch, the wait for new ones, and when others count as dead (s)."""

    consumer: str
    size: int
    block_seconds: float = BLOCK_SECONDS
    takeover_seconds: float = TAKEOVER_SECONDS


class ConsumerGroup:
    """This consumer's side of a group."""

    def __init__(self, redis: AnyRedis, stream: str, group: str, reading: Reading) -> None:
        self._redis = redis
        self._stream = stream
        self._group = group
        self._reading = reading
        self._takeover_ms = int(reading.takeover_seconds * 1000)

    async def prepare(self) -> None:
        """Create stream and group if they are missing: a new group reads the stream from its beginning."""
        try:
            await self._redis.xgroup_create(self._stream, self._group, "0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def take(self, *, wait: bool = True) -> list[RawEntry]:
        """Return new entries; with `wait`, wait up to a second if there are none."""
        answer = await self._redis.xreadgroup(
            self._group,
            self._reading.consumer,
            {self._stream: ">"},
            count=self._reading.size,
            block=int(self._reading.block_seconds * 1000) if wait else None,
        )
        return _entries(answer)

    async def pending(self, after: bytes = FIRST) -> list[RawEntry]:
        """Return entries that this consumer has taken and not finished, oldest first, after the id `after`."""
        answer = await self._redis.xreadgroup(
            self._group, self._reading.consumer, {self._stream: after}, count=self._reading.size
        )
        return _entries(answer)

    async def claim(self) -> list[RawEntry]:
        """Take over entries of consumers that count as dead."""
        claimed: Any = await self._redis.xautoclaim(
            self._stream, self._group, self._reading.consumer, self._takeover_ms, count=self._reading.size
        )
        return _existing(claimed[1])

    async def done(self, ids: Sequence[bytes]) -> None:
        """Acknowledge entries."""
        if ids:
            await self._redis.xack(self._stream, self._group, *ids)

    async def remove_dead_consumers(self) -> int:
        """Remove the names of consumers that count as dead and have no entries; return their number."""
        arguments = (self._stream, self._group, self._reading.consumer, self._takeover_ms)
        return int(await self._redis.eval(_REMOVE_CONSUMERS, 1, *arguments))


def _entries(answer: Any) -> list[RawEntry]:
    """Return the entries of an XREADGROUP answer for one stream: `[[name, entries]]`, or nothing."""
    return _existing(answer[0][1]) if answer else []


def _existing(entries: Any) -> list[RawEntry]:
    # redis-py returns {} for an entry that was deleted since.
    return [(entry_id, fields or None) for entry_id, fields in entries]
