"""Commands and scripts that both Redis clients send."""

import re
from collections.abc import Iterable
from typing import NamedTuple

# No answer waits for a write, and a thousand events take Redis a few milliseconds.
WRITE_BUDGET_SECONDS = 0.25
_WHOLE_NUMBER = re.compile(rb"[1-9][0-9]{0,18}")

# The mark is set after the event. An error in between counts an event twice, which the log's primary key corrects; the
# other order would lose the event.
ADD_EVENTS = """
local added = 0
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    redis.call('XADD', KEYS[1], '*', 'event', ARGV[i])
    redis.call('SET', KEYS[i], '1', 'EX', ARGV[1])
    added = added + 1
  end
end
return added
"""

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

# One command for many entries: packing one XADD for each costs the client ten times as much.
ADD_EXPOSURES = "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'exposures', ARGV[i]) end"


def parse_counts(found: Iterable[tuple[bytes, bytes | float]]) -> list[tuple[int, float]]:
    """Return the (id, score) pairs of a sorted set; entries of other writers that don't parse are skipped."""
    pairs = list(found)
    try:
        return [(int(member), float(score)) for member, score in pairs]
    except ValueError:
        return [(int(member), float(score)) for member, score in pairs if _WHOLE_NUMBER.fullmatch(member)]


class Address(NamedTuple):
    """The address of a Redis, without its credentials; the first one if there are several nodes."""

    host: str
    port: int
    db: int
