"""Finds the stream entries and dead letters about a user."""

import json
import re
from collections.abc import Mapping

from contracts.events import read_entry
from contracts.ids import UnusableIdError, parse_id
from feature_sync.events.entries import received_at

# The user of an entry that is no event, or whose end was cut off.
_NAMED_USER = re.compile(rb'"user_id"\s*:\s*("(?:[^"\\]|\\.)*"|[0-9]{1,19}(?![0-9]))')
_NAMED_BY_TEXT = re.compile(rb'"user_id"\s*:\s*"')


def is_about(entry_id: bytes, fields: Mapping[bytes, bytes], user_id: int, moment: float) -> bool:
    """Return whether an entry holds something about a user from before a moment (Unix time)."""
    if not any(_may_name(value, user_id) for value in fields.values()):
        return False
    try:
        received, content = received_at(entry_id, fields), read_entry(fields)
    except (KeyError, ValueError, OverflowError, RecursionError):
        received = received_at(entry_id, {})
        return received < moment and any(user_id in _named_users(value) for value in fields.values())
    return content.user_id == user_id and min(content.ts.timestamp(), received) < moment


def _may_name(value: bytes, user_id: int) -> bool:
    """Return false for most entries, without decoding them: the id's digits, a text, or an escape must be there."""
    return b"%d" % user_id in value or b"\\u" in value or _NAMED_BY_TEXT.search(value) is not None


def _named_users(value: bytes) -> set[int]:
    users = set()
    for found in _NAMED_USER.findall(value):
        try:
            users.add(parse_id(json.loads(found), "user"))
        except (UnusableIdError, ValueError):
            continue
    return users
