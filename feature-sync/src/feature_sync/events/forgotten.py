"""Drops what is from before its user was forgotten."""

from collections.abc import Sequence
from typing import NamedTuple

from contracts.events import BehaviorEvent, Exposure
from feature_sync.events.entries import Entry
from feature_sync.marks import Marks


class Remembered(NamedTuple):
    """The events and exposures that count, and the number of dropped ones."""

    events: list[BehaviorEvent]
    exposures: list[Exposure]
    dropped: int


def drop_forgotten(entries: Sequence[Entry], marks: Marks, *, clock_ahead: float = 0.0) -> Remembered:
    """Return what counts. `clock_ahead` (s): how far ahead the clocks are that say when an event happened."""
    # One HMAC for a user.
    users = {entry.content.user_id for entry in entries}
    moments = {user: 0.0 if user is None else marks.moment_of(user) for user in users}
    found = [
        entry.content
        for entry in entries
        if min(entry.content.ts.timestamp() - clock_ahead, entry.received_at) >= moments[entry.content.user_id]
    ]
    events = [each for each in found if isinstance(each, BehaviorEvent)]
    exposures = [each for each in found if isinstance(each, Exposure)]
    return Remembered(events, exposures, len(entries) - len(found))
