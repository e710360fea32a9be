"""Column types for untrusted text and JSON: values are escaped when stored, and again when read.

PostgreSQL rejects NUL, and every database rejects a lone surrogate as text. A JSON column accepts both as escapes, but
the value then breaks pages, answers and messages. Both become `\\uXXXX` text, also in rows of older releases.
"""

import json
import math
from typing import Any

from sqlalchemy import JSON, Dialect, String, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from contracts.text import escape_text

MAX_TEXT_CHARS = 2**20


class StoredText(TypeDecorator[str]):
    """Text of a bounded length, escaped and cut so that different texts stay different."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's
        """Return what is stored."""
        length: int | None = getattr(self.impl_instance, "length", None)
        return None if value is None else escape_text(value, length or MAX_TEXT_CHARS)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - as above
        """Return the stored text, escaped: SQLite also stores characters that other systems reject."""
        return None if value is None else escape_text(value, MAX_TEXT_CHARS)


class StoredLongText(StoredText):
    """Text of any length."""

    impl = Text
    cache_ok = True


class StoredJson(TypeDecorator[Any]):
    """JSON with escaped texts; reads as None if SQLite, which doesn't check JSON, holds something else."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the column: text in SQLite, which has no JSON type."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else JSON())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return what is stored."""
        storable = storable_json(value)
        return json.dumps(storable) if dialect.name == "sqlite" else storable

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return what was stored."""
        return parse_stored(value) if dialect.name == "sqlite" else storable_json(value)


def parse_stored(value: Any) -> Any:
    """Return the JSON of a column's text, or None if it isn't JSON."""
    # SQLite returns numbers as numbers.
    if not isinstance(value, (str, bytes)):
        return storable_json(value)
    try:
        return storable_json(json.loads(value))
    except (ValueError, RecursionError):
        return None


def storable_json(value: Any) -> Any:
    """Return a JSON value with escaped texts and finite numbers."""
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
    """Return a stored list of texts; empty if another type was stored."""
    return [item if isinstance(item, str) else str(item) for item in value] if isinstance(value, list) else []


def tags_of(value: Any) -> dict[str, str]:
    """Return stored tags; empty if another type was stored."""
    return {str(name): str(held) for name, held in value.items()} if isinstance(value, dict) else {}
