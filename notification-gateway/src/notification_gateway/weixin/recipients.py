"""Recipients of an application's message, and those that WeChat Work reports as not reached."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Fields of an answer with errcode 0. Users without a licence (`unlicenseduser`) get no message either.
_USER_FIELDS = ("invaliduser", "unlicenseduser")
_GROUP_FIELDS = ("invalidparty", "invalidtag")
_SEPARATOR = re.compile(r"[|,;\s]+")
# A broken answer must not fill the database and the messages with names.
_MAX_NAMED = 20
_MAX_NAME = 64


def split_users(text: str) -> list[str]:
    """Return the user ids of a setting; they are separated by `|`."""
    return [name for part in text.split("|") if (name := part.strip())]


class Unreached:
    """The recipients that an answer reports as not reached; their case doesn't matter."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._by_field = {name: list(_names(body.get(name))) for name in (*_USER_FIELDS, *_GROUP_FIELDS)}

    def __bool__(self) -> bool:
        return any(self._by_field.values())

    def __str__(self) -> str:
        return "; ".join(f"{_listed(names)} ({field})" for field, names in self._by_field.items() if names)

    def covers(self, users: list[str]) -> bool:
        """Say whether all these users were not reached."""
        unreached = {name.lower() for field in _USER_FIELDS for name in self._by_field[field]}
        return bool(users) and unreached.issuperset(user.lower() for user in users)


def _names(value: object) -> Iterator[str]:
    """Yield the names of a field: a text separated by `|`, or, from some relays, a number or a list."""
    if isinstance(value, list):
        for each in value:
            yield from _names(each)
    elif isinstance(value, str):
        yield from filter(None, _SEPARATOR.split(value))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)


def _listed(names: list[str]) -> str:
    unique = sorted({name.lower()[:_MAX_NAME] for name in names})
    more = f" and {len(unique) - _MAX_NAMED} more" if len(unique) > _MAX_NAMED else ""
    return ", ".join(unique[:_MAX_NAMED]) + more
