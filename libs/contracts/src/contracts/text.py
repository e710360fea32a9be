"""Text by its source: text of machines is repaired, text of people is rejected, text that identifies is escaped."""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

# What storage, serializers or terminals can't hold: control characters but tab and line ends, and half surrogates.
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Letters and symbols that show nothing: the fillers of Hangul, and the empty pattern of Braille.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_ELLIPSIS = "…"
_DIGEST_CHARS = 8


class UnusableTextError(ValueError):
    """The text holds what can't be stored; the message names the character."""


def repair_text(text: str, max_chars: int) -> str:
    """Return a machine's text as it can be stored: U+FFFD for what can't be, cut to its bound with `…`."""
    repaired = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    return repaired if len(repaired) <= max_chars else repaired[: max_chars - 1] + _ELLIPSIS


def escape_text(text: str, max_chars: int) -> str:
    r"""Return a fingerprint part or label as it can be stored; different ones stay different.

    What can't be stored is written as `\uXXXX`. A text that is too long ends in `…` and eight digits of its SHA-256.
    """
    escaped = _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    if len(escaped) <= max_chars:
        return escaped
    digest = hashlib.sha256(escaped.encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{escaped[: max_chars - _DIGEST_CHARS - 1]}{_ELLIPSIS}{digest}"


def check_text(text: str) -> str:
    """Return a typed text that can be stored; raises `UnusableTextError`."""
    found = _UNSTORABLE.search(text)
    if found is None:
        return text
    name = "a NUL character (U+0000)" if found[0] == "\0" else f"the character U+{ord(found[0]):04X}"
    raise UnusableTextError(f"holds {name}, which can't be stored")


def is_visible(text: str) -> bool:
    """Return whether a text has a character that can be seen; spaces of no width are no white space to Python."""
    return any(unicodedata.category(each)[0] not in "CMZ" and each not in _BLANK for each in text)


def normalize_tag(tag: str) -> str:
    """Return a tag as it is compared: NFC, without white space at its ends."""
    return unicodedata.normalize("NFC", tag).strip()


@dataclass(frozen=True)
class MachineText:
    """In `Annotated[str, …]`: a machine's free text, repaired and cut."""

    max_chars: int
    min_chars: int = 0

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """See pydantic."""
        return _changed_text(lambda text: repair_text(text, self.max_chars), self.min_chars, self.max_chars)


@dataclass(frozen=True)
class LabelText:
    """In `Annotated[str, …]`: a fingerprint part, a label or a tag, escaped; different ones stay different."""

    max_chars: int
    min_chars: int = 0

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """See pydantic."""
        return _changed_text(lambda text: escape_text(text, self.max_chars), self.min_chars, self.max_chars)


@dataclass(frozen=True)
class TypedText:
    """In `Annotated[str, …]`: a text that a person typed; text that can't be stored is rejected."""

    max_chars: int
    min_chars: int = 0

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """See pydantic."""
        return _changed_text(check_text, self.min_chars, self.max_chars)


def _changed_text(change: Callable[[str], str], min_chars: int, max_chars: int) -> CoreSchema:
    return core_schema.no_info_before_validator_function(
        lambda value: change(value) if isinstance(value, str) else value,
        core_schema.str_schema(min_length=min_chars or None, max_length=max_chars),
    )
