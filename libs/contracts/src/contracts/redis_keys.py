"""Every Redis key of the stack, in one place. Who writes and reads which is in docs/ARCHITECTURE.md.

In braces stands the key that a marker or bucket is changed together with: a cluster keeps both on one node then.
"""

from typing import Literal

SNAPSHOT_POINTER = "fs:ptr"
EVENT_STREAM = "stream:events"
EVENT_STREAM_GROUP = "feature-sync"
# Written to find out whether Redis takes writes at all.
WRITE_PROBE = "probe:feature-sync"
DEAD_LETTERS = f"{EVENT_STREAM}:rejected"
# The datasets that no answer may show (`contracts.withdrawn`); without a TTL, so that it is never evicted.
WITHDRAWN = "withdrawn"

Timeframe = Literal["1h", "24h"]


def user_features(version: str, user_id: int) -> str:
    """Packed features and long-term history of a user (`contracts.user_blob`)."""
    return f"fs:{version}:u:{user_id}"


def snapshot_schema(version: str) -> str:
    """The `feature_schema` of a snapshot's manifest, as text; written before the pointer moves to the snapshot."""
    return f"fs:{version}:schema"


def live_history(user_id: int) -> str:
    """Recent history of a user and its sequence number (`contracts.user_blob`)."""
    return f"live:u:{user_id}"


def hot(timeframe: Timeframe) -> str:
    """Sorted set of dataset ids by weighted interactions in the sliding window."""
    return f"hot:{timeframe}"


def hot_bucket(timeframe: Timeframe, bucket: int) -> str:
    """One time slice of a sliding window; `bucket` is its start in units of the slice's length."""
    return f"{{{hot(timeframe)}}}:{bucket}"


def seen_event(event_id: str) -> str:
    """Marker that an event id was accepted, so that it counts once."""
    return f"seen:{{{EVENT_STREAM}}}:{event_id}"


def applied_event(key: str, event_id: str) -> str:
    """Marker that an event has changed what `key` holds, so that it does so once."""
    return f"applied:{{{key}}}:{event_id}"


def dead_letter_marker(entry_id: str) -> str:
    """Marker that an entry of the event stream is a dead letter already, so that it becomes one once."""
    return f"dead:{{{DEAD_LETTERS}}}:{entry_id}"


def result(question_hash: str) -> str:
    """A cached answer; the hash covers query, model version, experiment and the user's live sequence."""
    return f"res:{question_hash}"


def last_good(question_hash: str) -> str:
    """The last good answer to a query, of any model."""
    return f"last:{question_hash}"
