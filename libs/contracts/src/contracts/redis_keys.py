"""Every Redis key of the stack, in one place. Who writes and reads which is in docs/ARCHITECTURE.md.

In braces stands the key that another one is changed together with: a cluster keeps both on one node then.
"""

from typing import Literal

SNAPSHOT_POINTER = "fs:ptr"
# Hash: the snapshot version that is being written, and until when; one sync at a time over all workers.
SYNC_LEASE = f"{{{SNAPSHOT_POINTER}}}:lease"
# Sorted set of the snapshot versions with keys, by the time from which they may be removed; that of the bases of the
# active version never comes.
SNAPSHOT_VERSIONS = f"{{{SNAPSHOT_POINTER}}}:versions"
# Hash: the active snapshot version, and when its snapshot was made (Unix time).
SNAPSHOT_CREATED = f"{{{SNAPSHOT_POINTER}}}:created"
# Hash of the last sync jobs of all workers.
SYNC_JOBS = f"{{{SNAPSHOT_POINTER}}}:jobs"
# A version adds to so many others at most: a reader asks for a user's key in each of them, in one call.
MAX_BASES = 2
EVENT_STREAM = "stream:events"
# Events whose id may have been accepted before; only the event log reads them.
REPEATED_EVENTS = f"{{{EVENT_STREAM}}}:repeated"
# Is there while the readers of the event stream know exposures of answers to nobody.
TAKES_ANONYMOUS = f"{{{EVENT_STREAM}}}:takes-anonymous"
# The consumer groups of both streams, and the one of the release before.
LIVE_GROUP, LOG_GROUP, LEGACY_GROUP = "live", "log", "feature-sync"
# Written to find out whether Redis takes writes at all.
WRITE_PROBE = "probe:feature-sync"
# What sampled answers were ranked with. It is there while feature-sync reads it, and expires a day after it ends.
SERVED_STREAM = "stream:served-features"
DEAD_LETTERS = f"{EVENT_STREAM}:rejected"
# Entries of the event stream that are dead letters already, so that each becomes one once.
DEAD_LETTER_IDS = f"dead:{{{DEAD_LETTERS}}}"
# Dead letters that were put back into the event stream, so that each is put back once.
REPLAYED_LETTERS = f"{{{EVENT_STREAM}}}:replayed"
# The datasets that no answer may show (`contracts.withdrawn`); without a TTL, so that it is never evicted.
WITHDRAWN = "withdrawn"

Timeframe = Literal["1h", "24h"]


def user_features(version: str, user_id: int) -> str:
    """Packed features and long-term history of a user (`contracts.user_blob`).

    If a version has bases, a user's state is the value in the first of them that has the key, the version itself before
    all others. An empty value there: the user was removed.
    """
    return f"fs:{version}:u:{user_id}"


def snapshot_schema(version: str) -> str:
    """The `feature_schema` of a snapshot's manifest, as text; written before the pointer moves to the snapshot."""
    return f"fs:{version}:schema"


def snapshot_features(version: str) -> str:
    """The `user_features` of a snapshot's manifest, as JSON; written with its schema. An earlier sender has none."""
    return f"fs:{version}:features"


def snapshot_bases(version: str) -> str:
    """Versions that a version adds to, as text, the newest first, with spaces between them; absent without any."""
    return f"fs:{version}:bases"


def snapshot_heads(version: str) -> list[str]:
    """Return the keys of a version besides those of its users, in the order schema, features, bases."""
    return [snapshot_schema(version), snapshot_features(version), snapshot_bases(version)]


def snapshot_users(version: str) -> str:
    """List of the users with keys in a version: int64 ids, packed, one element for each written batch."""
    return f"{{{SNAPSHOT_POINTER}}}:users:{version}"


def live_history(user_id: int) -> str:
    """Recent history of a user and its sequence number (`contracts.user_blob`)."""
    return f"live:u:{user_id}"


def hot(timeframe: Timeframe) -> str:
    """Sorted set of dataset ids by weighted interactions in the sliding window."""
    return f"hot:{timeframe}"


def hot_part(timeframe: Timeframe, name: str) -> str:
    """A key of the worker behind a sliding window: its state, its slices (`feature_sync.hot.scripts`)."""
    return f"{{{hot(timeframe)}}}:{name}"


def legacy_dead_letter_marker(entry_id: str) -> str:
    """Marker of the release before that an entry of the event stream is a dead letter already."""
    return f"dead:{{{DEAD_LETTERS}}}:{entry_id}"


def result(question_hash: str, user_id: int | None = None) -> str:
    """A cached answer; the hash covers query, model version, experiment and the user's live sequence.

    The key of an answer to a user holds the user's id, so that all answers to the user can be found.
    """
    return f"res:{_tag(user_id)}{question_hash}"


def last_good(question_hash: str, user_id: int | None = None) -> str:
    """The last good answer to a query, of any model; the user's id as in `result`."""
    return f"last:{_tag(user_id)}{question_hash}"


def answers_of(user_id: int) -> str:
    """Pattern of the keys of all answers to a user."""
    return f"*:{_tag(user_id)}*"


def _tag(user_id: int | None) -> str:
    return "" if user_id is None else f"{{{live_history(user_id)}}}:"
