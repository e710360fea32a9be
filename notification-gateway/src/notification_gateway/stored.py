"""Columns of what strangers say: what is stored can be read again, and what an older release stored is mended.

PostgreSQL takes no NUL, and no database takes half a surrogate pair as text. A JSON column takes both as escapes, which
then break what is made of the value: a page, an answer, a message. Both become `\\uXXXX` text, on the way in and out.
"""

import json
import math
from typing import Any

from sqlalchemy import JSON, Dialect, String, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from contracts.text import escape_text

MAX_TEXT_CHARS = 2**20


class StoredText(TypeDecorator[str]):
    """Text of a bounded length, escaped and cut as labels are: different texts stay different."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's
        """Return what is stored."""
        length: int | None = getattr(self.impl_instance, "length", None)
        return None if value is None else escape_text(value, length or MAX_TEXT_CHARS)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - as above
        """Return what was stored; SQLite takes characters that nothing else can hold."""
        return None if value is None else escape_text(value, MAX_TEXT_CHARS)


class StoredLongText(StoredText):
    """Text of any length."""

    impl = Text
    cache_ok = True


class StoredJson(TypeDecorator[Any]):
    """JSON whose texts can be stored and shown. None: SQLite, which takes any text for JSON, held something else."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the column: SQLite has none for JSON."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else JSON())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return what is stored."""
        storable = storable_json(value)
        return json.dumps(storable) if dialect.name == "sqlite" else storable

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return what was stored."""
        return parse_stored(value) if dialect.name == "sqlite" else storable_json(value)


def parse_stored(value: Any) -> Any:
    """Return the JSON that a column gives as text; None for what is no JSON."""
    # SQLite gives numbers as such.
    if not isinstance(value, (str, bytes)):
        return storable_json(value)
    try:
        return storable_json(json.loads(value))
    except (ValueError, RecursionError):
        return None


def storable_json(value: Any) -> Any:
    """Return a JSON value whose texts are escaped as labels are, and whose numbers are finite."""
    if isinstance(value, str):
        return escape_text(value, MAX_TEXT_CHARS)
    if isinstance(value, dict):
        return {storable_json(name): storable_json(held) for name, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def texts_of(value: Any) -> list[str]:
    """Return a stored list of texts, whatever was stored in its place."""
    return [item if isinstance(item, str) else str(item) for item in value] if isinstance(value, list) else []


def tags_of(value: Any) -> dict[str, str]:
    """Return stored tags, whatever was stored in their place."""
    return {str(name): str(held) for name, held in value.items()} if isinstance(value, dict) else {}
