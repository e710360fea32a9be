"""Families of keys in Redis."""

from contracts import redis_keys

# Each key that may be large by itself is measured; of the others, samples are.
SINGLE_KEYS = {
    redis_keys.EVENT_STREAM: "stream",
    redis_keys.REPEATED_EVENTS: "stream",
    redis_keys.SERVED_STREAM: "stream",
    redis_keys.DEAD_LETTERS: "dead_letters",
    redis_keys.DEAD_LETTER_IDS: "dead_letters",
    redis_keys.REPLAYED_LETTERS: "dead_letters",
    redis_keys.WITHDRAWN: "other",
    redis_keys.hot("1h"): "hot",
    redis_keys.hot("24h"): "hot",
}
_PREFIXES = (
    ("fs:", "snapshot"),
    (f"{{{redis_keys.SNAPSHOT_POINTER}}}:", "snapshot"),
    ("live:u:", "live"),
    ("{hot:", "hot"),
    ("accepted:", "event_ids"),
    ("counted:", "event_ids"),
    ("res:", "answers"),
    ("last:", "answers"),
)
FAMILIES = ("snapshot", "live", "hot", "event_ids", "answers", "stream", "dead_letters", "other")


def family_of(key: str) -> str:
    """Return the family of a key, `other` for one that is not ours."""
    return next((family for prefix, family in _PREFIXES if key.startswith(prefix)), SINGLE_KEYS.get(key, "other"))
