"""Ids of users and datasets: whole numbers as they are, any other text as a number that is made from it."""

import hashlib
import re
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

EntityKind = Literal["user", "dataset"]

MAX_ID = 2**63 - 1
MAX_ID_CHARS = 128

_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,18}")
# What a spreadsheet or a programming language writes for a number. Hexadecimal ids hold longer runs of digits.
_OTHER_NUMBER = re.compile(
    r"0|[1-9][0-9]{18,}|[+-][0-9]+"
    r"|[+-]?(?:[0-9]+[.,][0-9]*|[0-9]{1,17}(?:[.,][0-9]*)?[eE][+-]?[0-9]{1,3})"
)
_GROUPED_DIGITS = re.compile(r"[0-9]+(?:_[0-9]+)+")
_EXPONENT = re.compile(r".*[0-9][eE][+-]?[0-9]{1,3}")


class UnusableIdError(ValueError):
    """The value is not an id; the message says what an id looks like, or what to do."""


def parse_id(value: object, kind: EntityKind) -> int:
    """Return the number of an id as JSON, a path, a query or a table gives it; raises `UnusableIdError`."""
    if isinstance(value, str):
        return parse_id_text(value, kind)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnusableIdError(f"an id is a whole number or a text, not {_describe(value)}")
    if not 1 <= value <= MAX_ID:
        raise UnusableIdError(f"a numeric id lies between 1 and {MAX_ID}")
    return value


def read_id(text: str, kind: EntityKind) -> tuple[int, str | None]:
    """Return the number of an id that is written as text, and the text unless the number says it all.

    Raises `UnusableIdError`.
    """
    if _WHOLE_NUMBER.fullmatch(text) and (number := int(text)) <= MAX_ID:
        return number, None
    return hash_id(check_id_text(text), kind), text


def parse_id_text(text: str, kind: EntityKind) -> int:
    """Return the number of an id that is written as text; raises `UnusableIdError`."""
    return read_id(text, kind)[0]


def check_id_text(text: str) -> str:
    """Return a text that can be an id and is no whole number; raises `UnusableIdError`."""
    if not 1 <= len(text) <= MAX_ID_CHARS:
        raise UnusableIdError(f"an id has 1 to {MAX_ID_CHARS} characters, this one has {len(text)}")
    if text != text.strip():
        raise UnusableIdError("an id has no white space at its ends")
    if not text.isprintable():
        raise UnusableIdError("an id holds printable characters only")
    if not unicodedata.is_normalized("NFC", text):
        raise UnusableIdError("an id is written in Unicode's NFC form; normalize it")
    _refuse_other_numbers(text)
    return text


def hash_id(text: str, kind: EntityKind) -> int:
    """Return the number that stands for a text id: 63 bits of its SHA-256, never 0."""
    digest = hashlib.sha256(f"recsys-id:{kind}:{text}".encode()).digest()
    return int.from_bytes(digest) & MAX_ID or 1


def is_numeric_id(text: str) -> bool:
    """Return whether a text is itself the number that stands for it."""
    return _WHOLE_NUMBER.fullmatch(text) is not None and int(text) <= MAX_ID


def _refuse_other_numbers(text: str) -> None:
    if _EXPONENT.fullmatch(text) and _OTHER_NUMBER.fullmatch(text):
        raise UnusableIdError("a number with an exponent is not an id: a spreadsheet has rounded it; export it as text")
    if _OTHER_NUMBER.fullmatch(text):
        raise UnusableIdError(
            f"a numeric id is a whole number from 1 to {MAX_ID}, without sign, decimal point or separator"
        )
    if _GROUPED_DIGITS.fullmatch(text):
        raise UnusableIdError("a numeric id has no separators between its digits")
    if not text.isascii() and text.isnumeric():
        raise UnusableIdError("a numeric id is written in the digits 0 to 9")


def _describe(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, float):
        return "a number with a decimal point"
    return "null" if value is None else f"of type {type(value).__name__}"


def _schema(examples: list[Any]) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_ID},
                {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS},
            ],
            "description": "A whole number, or a text of 1 to 128 printable characters",
            "examples": examples,
        },
        mode="validation",
    )


def _user_id(value: object) -> int:
    return parse_id(value, "user")


def _dataset_id(value: object) -> int:
    return parse_id(value, "dataset")


def _user_text(text: str) -> str:
    parse_id_text(text, "user")
    return text


def _dataset_text(text: str) -> str:
    parse_id_text(text, "dataset")
    return text


_Number = Annotated[int, Field(ge=1, le=MAX_ID)]
# In a model: either form is accepted, and the value is the number.
_USER_SCHEMA = _schema([7, "c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa"])
_DATASET_SCHEMA = _schema([13196, "SKU-77"])
UserId = Annotated[_Number, BeforeValidator(_user_id), _USER_SCHEMA]
DatasetId = Annotated[_Number, BeforeValidator(_dataset_id), _DATASET_SCHEMA]
# In a path or a query: checked, and the value is the text as it was sent. `read_id` returns its number.
UserIdText = Annotated[str, AfterValidator(_user_text), _USER_SCHEMA]
DatasetIdText = Annotated[str, AfterValidator(_dataset_text), _DATASET_SCHEMA]
