"""People whom a message mentions: WeChat Work's user ids, phone numbers, or @all."""

import re
from collections.abc import Iterable
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

EVERYBODY = "@all"
MAX_MENTIONED = 20
_PHONE = re.compile(r"\+?[0-9]{11,15}", re.ASCII)
_USER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)


class Mentioned(NamedTuple):
    """Mentioned people: user ids and phone numbers."""

    users: list[str]
    phones: list[str]


def check_mention(value: str) -> str:
    """Return a user id, a phone number or @all; raises `ValueError`."""
    if value != EVERYBODY and not _PHONE.fullmatch(value) and not _USER_ID.fullmatch(value):
        raise ValueError("a mention is a user id, a phone number of 11 to 15 digits, or @all")
    return value


def split_mentions(text: str) -> tuple[str, ...]:
    """Return the mentions of a setting, which are separated by `|`; raises `ValueError`."""
    names = tuple(check_mention(name) for part in text.split("|") if (name := part.strip()))
    if len(names) > MAX_MENTIONED:
        raise ValueError(f"at most {MAX_MENTIONED} people are mentioned")
    return names


def sort_mentions(names: Iterable[str]) -> Mentioned:
    """Separate user ids (and @all) from phone numbers."""
    unique = list(dict.fromkeys(names))
    phones = [name for name in unique if _PHONE.fullmatch(name)]
    return Mentioned([name for name in unique if name not in phones], phones)


Mention = Annotated[str, AfterValidator(check_mention)]
