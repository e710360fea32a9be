"""Dead letters: entries that cannot be processed, with the reason, in a stream of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from contracts import redis_keys
from feature_sync.connections import AnyRedis
from feature_sync.events.entries import DeadLetter

# Longer than a worker is down between the two steps that make an entry a dead letter.
MARKER_SECONDS = 7 * 86_400
# The beginning is enough of an entry that can't be an event. Lua accepts at most some thousand arguments.
MAX_FIELDS = 64
MAX_FIELD_BYTES = 64 * 1024

# KEYS: the dead letters, a marker of the entry. ARGV: the marker's TTL, the maximum number, then names and values.
# Returns how many old ones were dropped. An entry that is delivered again, because the worker was killed before it
# could acknowledge it, is not added twice. The marker is set last, so an entry that could not be added is retried. A
# key of another type is replaced: it would block all dead letters.
_ADD = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
local type = redis.call('TYPE', KEYS[1]).ok
if type ~= 'stream' and type ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
redis.call('SET', KEYS[2], '', 'EX', ARGV[1])
return redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[2])
"""
_ENTRY, _REASON = b"entry", b"error"


@dataclass(frozen=True)
class DeadLetterCounts:
    """The number of dead letters, and the reason of the newest."""

    count: int
    last_reason: str


@dataclass(frozen=True)
class StoredLetter:
    """A stored dead letter: `id` is its own, `entry` was that of the entry."""

    id: str
    entry: str
    reason: str
    fields: Mapping[bytes, bytes]


class DeadLetters:
    """At most `most` are stored; above that the oldest are dropped."""

    def __init__(self, redis: AnyRedis, most: int) -> None:
        self._redis = redis
        self._most = most

    async def add(self, letters: Sequence[DeadLetter]) -> int:
        """Add dead letters, each entry once; return how many old ones were dropped."""
        pushed_out = 0
        for letter in letters:
            fields = {_cut(name): _cut(value) for name, value in islice(letter.fields.items(), MAX_FIELDS)}
            fields |= {_ENTRY: letter.id, _REASON: letter.reason.encode()}
            pairs: list[Any] = [part for pair in fields.items() for part in pair]
            keys = (redis_keys.DEAD_LETTERS, redis_keys.dead_letter_marker(letter.id.decode()))
            pushed_out += int(await self._redis.eval(_ADD, 2, *keys, MARKER_SECONDS, self._most, *pairs))
        return pushed_out

    async def drop_markers(self, letters: Sequence[DeadLetter]) -> None:
        """Delete the markers of entries that can't be delivered again."""
        if letters:
            await self._redis.unlink(*(redis_keys.dead_letter_marker(letter.id.decode()) for letter in letters))

    async def counts(self) -> DeadLetterCounts:
        """Return the number of dead letters, and the reason of the last one."""
        count = int(await self._redis.xlen(redis_keys.DEAD_LETTERS))
        newest: Any = await self._redis.xrevrange(redis_keys.DEAD_LETTERS, count=1)
        return DeadLetterCounts(count, _letter(*newest[0]).reason if newest else "")

    async def list(self, limit: int) -> list[StoredLetter]:
        """Return the oldest ones."""
        found: Any = await self._redis.xrange(redis_keys.DEAD_LETTERS, count=limit)
        return [_letter(*each) for each in found]

    async def requeue(self, letter: StoredLetter) -> None:
        """Put an entry into the event stream again; after a kill in between it is there twice, and counts once."""
        fields: Any = dict(letter.fields)
        await self._redis.xadd(redis_keys.EVENT_STREAM, fields)
        await self._redis.xdel(redis_keys.DEAD_LETTERS, letter.id)


def _letter(letter_id: bytes, fields: Mapping[bytes, bytes]) -> StoredLetter:
    return StoredLetter(
        letter_id.decode(),
        fields.get(_ENTRY, b"").decode("utf-8", "replace"),
        fields.get(_REASON, b"").decode("utf-8", "replace"),
        {name: value for name, value in fields.items() if name not in (_ENTRY, _REASON)},
    )


def _cut(value: bytes) -> bytes:
    return value if len(value) <= MAX_FIELD_BYTES else value[:MAX_FIELD_BYTES] + b"\xe2\x80\xa6"
