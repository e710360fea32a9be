"""Values of any kind as plain, bounded data without secrets, as an event may hold them."""

import math
from collections.abc import Mapping
from typing import Any

from monitoring.redaction import Redactor, cut, text_of

MAX_TAG = 200
MAX_DEPTH = 4
MAX_ITEMS = 50


def plain_data(data: Mapping[str, object], redactor: Redactor) -> dict[str, Any]:
    """Return JSON-like data: four levels deep, 50 items each, all other values as text."""
    scrubbed = redactor.scrub(_plain_mapping(data, MAX_DEPTH))
    assert isinstance(scrubbed, dict)  # noqa: S101 - scrub returns the same kind of value
    return scrubbed


def tag_text(value: object, redactor: Redactor) -> str:
    """Return the text of a tag's value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    # Relay rejects tags with line breaks.
    return cut(" ".join(redactor.text(text_of(value)).split()), MAX_TAG)


def _plain_mapping(data: Mapping[Any, object], depth: int) -> dict[str, Any]:
    return {text_of(name): _plain_value(value, depth) for name, value in list(data.items())[:MAX_ITEMS]}


def _plain_value(value: object, depth: int) -> object:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth and isinstance(value, Mapping):
        return _plain_mapping(value, depth - 1)
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [_plain_value(item, depth - 1) for item in list(value)[:MAX_ITEMS]]
    return text_of(value)
