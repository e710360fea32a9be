"""Dead letters: entries that cannot be processed, with the reason, in a stream of their own."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from contracts import redis_keys
from feature_sync.connections import REDIS_ERRORS, AnyRedis, Script
from feature_sync.events.entries import ENTRY_ID, REPLAYED, DeadLetter, first_id_of

# Longer than a worker is down between the two steps that make an entry a dead letter.
MARKER_SECONDS = 7 * 86_400
# The beginning is enough of an entry that can't be an event. Lua accepts at most some thousand arguments.
MAX_FIELDS = 64
MAX_FIELD_BYTES = 64 * 1024

# KEYS: the dead letters, the ids of entries that are some already, a marker of the release before. ARGV: how long (s)
# an id is stored, the maximum number, the entry's id, then names and values. Returns whether the entry was added, and
# how many old ones were dropped. Two groups, a second worker that has taken an entry over, and one that was killed
# before it could acknowledge it all add an entry once. The id is stored last, so an entry that could not be added is
# retried. A key of another type is replaced: it would block all dead letters.
_ADD = """
if redis.call('EXISTS', KEYS[3]) == 1 then return {0, 0} end
local known = redis.pcall('ZSCORE', KEYS[2], ARGV[3])
if type(known) == 'table' then
  redis.call('DEL', KEYS[2])
elseif known then
  return {0, 0}
end
local type = redis.call('TYPE', KEYS[1]).ok
if type ~= 'stream' and type ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 4))
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[2], now, ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -2 * ARGV[2] - 1)
redis.call('EXPIRE', KEYS[2], ARGV[1])
return {1, redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[2])}
"""
# Two steps, because a cluster can hold the two streams on two nodes: the entry is added once, then its letter deleted.
# KEYS: the event stream, the ids of letters that were put back. ARGV: how long (s) an id is stored, the letter's id,
# then names and values. Returns whether the entry was added.
_REPLAY = Script("""
if redis.call('ZSCORE', KEYS[2], ARGV[2]) then return 0 end
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[2], now, ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 1
""")
_ENTRY, _REASON = b"entry", b"error"
_PAGE = 100
# The types of the keys that calls about dead letters need.
_TYPES = {
    redis_keys.DEAD_LETTERS: b"stream",
    redis_keys.DEAD_LETTER_IDS: b"zset",
    redis_keys.REPLAYED_LETTERS: b"zset",
    redis_keys.EVENT_STREAM: b"stream",
}


@dataclass(frozen=True)
class DeadLetterCounts:
    """The number of dead letters, and the reason of the newest."""

    count: int
    last_reason: str


@dataclass(frozen=True)
class Added:
    """How many entries became dead letters, and how many old ones were dropped for them."""

    new: int
    pushed_out: int


@dataclass(frozen=True)
class StoredLetter:
    """A stored dead letter: `id` is its own, `entry` was that of the entry."""

    id: str
    entry: str
    reason: str
    fields: Mapping[bytes, bytes]

    @property
    def created_at(self) -> float:
        """When the entry became a dead letter (Unix time)."""
        return int(self.id.partition("-")[0]) / 1000

    @property
    def was_replayed(self) -> bool:
        """Whether the entry was put back after it had been a dead letter before."""
        return REPLAYED in self.fields


@dataclass(frozen=True)
class Selection:
    """Which dead letters: those that fit all conditions. `older_than` is in seconds, `reason` a part of the text."""

    ids: frozenset[str] = field(default_factory=frozenset)
    reason: str = ""
    older_than: float = 0.0

    def fits(self, letter: StoredLetter) -> bool:
        """Return whether a letter has the id and the reason."""
        return (not self.ids or letter.id in self.ids) and self.reason in letter.reason


@dataclass(frozen=True)
class Replayed:
    """How many entries were put back, and how many letters only had to be deleted, because theirs was already."""

    added: int
    repeated: int


class DeadLetters:
    """At most `most` are stored; above that the oldest are dropped."""

    def __init__(self, redis: AnyRedis, most: int) -> None:
        self._redis = redis
        self._most = most

    async def add(self, letters: Sequence[DeadLetter]) -> Added:
        """Add dead letters, each entry once."""
        new = pushed_out = 0
        for letter in letters:
            fields = {_cut(name): _cut(value) for name, value in islice(letter.fields.items(), MAX_FIELDS)}
            fields |= {_ENTRY: letter.id, _REASON: letter.reason.encode()}
            pairs: list[Any] = [part for pair in fields.items() for part in pair]
            legacy = redis_keys.legacy_dead_letter_marker(letter.id.decode())
            keys = (redis_keys.DEAD_LETTERS, redis_keys.DEAD_LETTER_IDS, legacy)
            added, dropped = await self._redis.eval(_ADD, 3, *keys, MARKER_SECONDS, self._most, letter.id, *pairs)
            new += int(added)
            pushed_out += int(dropped)
        return Added(new, pushed_out)

    async def counts(self) -> DeadLetterCounts:
        """Return the number of dead letters, and the reason of the last one."""
        count = int(await self._redis.xlen(redis_keys.DEAD_LETTERS))
        newest: Any = await self._redis.xrevrange(redis_keys.DEAD_LETTERS, count=1)
        return DeadLetterCounts(count, _letter(*newest[0]).reason if newest else "")

    async def describe_error(self, error: Exception) -> str:
        """Return what an error of a call says to a person: which key has another type, or that Redis doesn't answer."""
        if "WRONGTYPE" in str(error):
            with suppress(*REDIS_ERRORS):
                for key, expected in _TYPES.items():
                    found: Any = await self._redis.type(key)
                    if found not in (expected, b"none"):
                        return f"The key {key} in Redis is a {found.decode()} and not a {expected.decode()}: remove it."
        return f"Redis doesn't answer ({type(error).__name__}). Retry when it does."

    async def select(self, selection: Selection) -> AsyncIterator[StoredLetter]:
        """Yield the letters of a selection, oldest first, of those that are there at the beginning."""
        newest: Any = await self._redis.xrevrange(redis_keys.DEAD_LETTERS, count=1)
        if not newest:
            return
        first, last = b"-", newest[0][0]
        # Without an age, the clock has no say: it may have been put back after a letter came.
        if selection.older_than:
            now: Any = await self._redis.time()
            latest = int((now[0] + now[1] / 1e6 - selection.older_than) * 1000)
            last = min(last, b"%d" % max(latest, 0), key=_order)
        while page := await self._page(first, last):
            for letter in (_letter(*each) for each in page):
                if selection.fits(letter):
                    yield letter
            first = b"(" + page[-1][0]

    async def _page(self, first: bytes, last: bytes) -> Sequence[tuple[bytes, Mapping[bytes, bytes]]]:
        page: Any = await self._redis.xrange(redis_keys.DEAD_LETTERS, min=first, max=last, count=_PAGE)
        return tuple(page)

    async def list(self, limit: int, selection: Selection = Selection()) -> list[StoredLetter]:
        """Return the oldest ones of a selection."""
        found: list[StoredLetter] = []
        async for letter in self.select(selection):
            found.append(letter)
            if len(found) == limit:
                break
        return found

    async def replay(self, selection: Selection) -> Replayed:
        """Put the entries back into the event stream, each exactly once; a kill in between changes nothing about that.

        An entry that is put back is marked with the id that it had first. If it fails again, its new letter replaces
        the one that is deleted here.
        """
        added = repeated = 0
        async for letter in self.select(selection):
            fields: dict[bytes, bytes] = {**letter.fields, REPLAYED: _first_entry(letter)}
            pairs = [part for pair in fields.items() for part in pair]
            keys = [redis_keys.EVENT_STREAM, redis_keys.REPLAYED_LETTERS]
            new = int(await _REPLAY.run(self._redis, keys, [MARKER_SECONDS, letter.id, *pairs]))
            await self._redis.xdel(redis_keys.DEAD_LETTERS, letter.id)
            added += new
            repeated += 1 - new
        return Replayed(added, repeated)

    async def drop(self, selection: Selection) -> int:
        """Delete the letters of a selection for good; return their number."""
        dropped = 0
        async for letter in self.select(selection):
            dropped += int(await self._redis.xdel(redis_keys.DEAD_LETTERS, letter.id))
        return dropped


def entry_of(fields: Mapping[bytes, bytes]) -> bytes | None:
    """Return the id of the entry that a dead letter was, None if it has no valid one."""
    entry_id = fields.get(_ENTRY, b"")
    return entry_id if ENTRY_ID.fullmatch(entry_id) else None


def _first_entry(letter: StoredLetter) -> bytes:
    return first_id_of(letter.fields) or letter.entry.encode()


def _order(entry_id: bytes) -> tuple[int, int]:
    ms, _, number = entry_id.partition(b"-")
    return int(ms), int(number or 2**64 - 1)


def _letter(letter_id: bytes, fields: Mapping[bytes, bytes]) -> StoredLetter:
    return StoredLetter(
        letter_id.decode(),
        fields.get(_ENTRY, b"").decode("utf-8", "replace"),
        fields.get(_REASON, b"").decode("utf-8", "replace"),
        {name: value for name, value in fields.items() if name not in (_ENTRY, _REASON)},
    )


def _cut(value: bytes) -> bytes:
    return value if len(value) <= MAX_FIELD_BYTES else value[:MAX_FIELD_BYTES] + b"\xe2\x80\xa6"
