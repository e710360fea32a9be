"""Commands and scripts that both Redis clients send."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from contracts import redis_keys
from contracts.event_filter import ADD_ID, FilterEntry, filter_entry
from contracts.served_features import HEAD_FIELD, VECTORS_FIELD
from recommender_api.redis_store.port import SEEN_EVENT_SECONDS, NewEvent, NewServed, StreamFullError

# No answer waits for a write, and a thousand events take Redis a few milliseconds.
WRITE_BUDGET_SECONDS = 0.25
_WHOLE_NUMBER = re.compile(rb"[1-9][0-9]{0,18}")

# `is_full(most)`: whether the streams of KEYS take more memory than so many bytes. The size is that of some nodes times
# their number, and takes Redis 2 µs. Full streams end a script with this answer.
STREAM_FULL = -1
_IS_FULL = """
local function is_full(most)
  local size = 0
  for i = 1, #KEYS do size = size + (redis.call('MEMORY', 'USAGE', KEYS[i]) or 0) end
  return size >= tonumber(most)
end
"""

# KEYS: the stream, and the one of repeated events. ARGV: the filter's TTL, the maximum size of both streams or nothing,
# then for each event: its marker in the filter (`add_id`) and its body. Returns how many are new. An id that the filter
# has may be another's, so its event goes to the second stream: the log decides by the whole id. A key of another type
# is an error before any is marked.
ADD_EVENTS = (
    ADD_ID
    + _IS_FULL
    + """
for i = 1, 2 do redis.call('XLEN', KEYS[i]) end
if ARGV[2] ~= '' and is_full(ARGV[2]) then return -1 end
local added = 0
local prefix = 'accepted:{' .. KEYS[1] .. '}:'
for at = 3, #ARGV, 4 do
  local stream = KEYS[2]
  if add_id(prefix, ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[1]) then
    stream = KEYS[1]
    added = added + 1
  end
  redis.call('XADD', stream, '*', 'event', ARGV[at + 3])
end
return added
"""
)
# An event takes Redis 5 µs. No call may hold up reads, so a batch is several calls in one round trip.
EVENTS_PER_CALL = 50

# A value that is stored under two keys is sent once. ARGV: each value, the number of its keys in KEYS, and the TTL of
# each of them.
PUT = """
local key, at = 0, 1
while at < #ARGV do
  for i = 1, ARGV[at + 1] do
    key = key + 1
    redis.call('SET', KEYS[key], ARGV[at], 'EX', ARGV[at + 1 + i])
  end
  at = at + 2 + ARGV[at + 1]
end
"""

# KEYS: the stream, and the key that is there while its readers take exposures of answers to nobody: those are left out
# otherwise. ARGV: the maximum size of the stream, then the entries. One command for some entries: packing one XADD for
# each costs the client ten times as much.
ANONYMOUS = b'{"user_id":null'
ADD_EXPOSURES = (
    _IS_FULL
    + f"""
if is_full(ARGV[1]) then return -1 end
local takes_anonymous = redis.call('EXISTS', KEYS[2]) == 1
for i = 2, #ARGV do
  if takes_anonymous or string.sub(ARGV[i], 1, {len(ANONYMOUS)}) ~= '{ANONYMOUS.decode()}' then
    redis.call('XADD', KEYS[1], '*', 'exposures', ARGV[i])
  end
end
return #ARGV - 1
"""
)


# KEYS: the stream of served features, which is there while feature-sync reads it. ARGV: its maximum size, then for each
# entry its head and its vectors. Returns how many were added.
ADD_SERVED = (
    _IS_FULL
    + f"""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if is_full(ARGV[1]) then return -1 end
for i = 2, #ARGV, 2 do
  redis.call('XADD', KEYS[1], '*', '{HEAD_FIELD}', ARGV[i], '{VECTORS_FIELD}', ARGV[i + 1])
end
return (#ARGV - 1) / 2
"""
)
# About 1,600 answers: an hour of the most that a replica logs.
SERVED_MAX_BYTES = 16 * 2**20
SERVED_FULL = "the stream of served features is full"


def parse_counts(found: Iterable[tuple[bytes, bytes | float]]) -> list[tuple[int, float]]:
    """Return the (id, score) pairs of a sorted set; entries of other writers that don't parse are skipped."""
    pairs = list(found)
    try:
        return [(int(member), float(score)) for member, score in pairs]
    except ValueError:
        return [(int(member), float(score)) for member, score in pairs if _WHOLE_NUMBER.fullmatch(member)]


def event_calls(
    events: Sequence[NewEvent], now: float, stream_max_bytes: int
) -> Iterator[tuple[str | int | bytes, ...]]:
    """Return the arguments of `EVAL` that add events; `now` is Unix time.

    Only the first one checks the size of the stream, so that a batch is stored whole or not at all: send the others
    after its answer.
    """
    for start in range(0, len(events), EVENTS_PER_CALL):
        arguments: list[str | int | bytes] = []
        for event in events[start : start + EVENTS_PER_CALL]:
            arguments += (*_marker(event, now), event.body)
        yield (
            ADD_EVENTS,
            2,
            redis_keys.EVENT_STREAM,
            redis_keys.REPEATED_EVENTS,
            SEEN_EVENT_SECONDS,
            "" if start else stream_max_bytes,
            *arguments,
        )


def exposure_calls(exposures: Sequence[bytes], stream_max_bytes: int) -> Iterator[tuple[str | int | bytes, ...]]:
    """Return the arguments of `EVAL` that add exposures, whose JSON begins with the user."""
    for start in range(0, len(exposures), EVENTS_PER_CALL):
        keys = (redis_keys.EVENT_STREAM, redis_keys.TAKES_ANONYMOUS)
        yield ADD_EXPOSURES, len(keys), *keys, stream_max_bytes, *exposures[start : start + EVENTS_PER_CALL]


def served_call(entries: Sequence[NewServed]) -> tuple[str | int | bytes, ...]:
    """Return the arguments of `EVAL` that add served features."""
    packed = [part for entry in entries for part in entry]
    return ADD_SERVED, 1, redis_keys.SERVED_STREAM, SERVED_MAX_BYTES, *packed


def check_full(answers: Iterable[Any], stream: str = "the event stream has reached STREAM_MAX_MB") -> None:
    """Raise `StreamFullError` if an answer to one of the calls above says so."""
    if STREAM_FULL in answers:
        raise StreamFullError(stream, "StreamFullError")


def _marker(event: NewEvent, now: float) -> FilterEntry:
    try:
        ts = datetime.fromisoformat(orjson.loads(event.body)["ts"])
    except (ValueError, TypeError, KeyError):
        # A journal can hold what an earlier release accepted.
        ts = datetime.fromtimestamp(0, UTC)
    return filter_entry(event.event_id, ts, now)


class Address(NamedTuple):
    """The address of a Redis, without its credentials; the first one if there are several nodes."""

    host: str
    port: int
    db: int
