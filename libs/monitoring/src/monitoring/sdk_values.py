"""What users set by calls of `sentry_sdk`, as an event may hold it."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from monitoring.context import BREADCRUMB_LEVELS, Breadcrumb
from monitoring.plain_data import MAX_ITEMS, plain_data, tag_text
from monitoring.redaction import Redactor, text_of
from monitoring.sdk_scopes import NO_VALUES, SdkValues

MAX_TAG_NAME = 32
# Of all contexts, and of all extra data.
MAX_BYTES = 50_000
# Collectors reject names with any other character.
_NOT_IN_TAG_NAMES = re.compile(r"[^A-Za-z0-9_.:-]")


def clean_values(values: SdkValues, redactor: Redactor) -> SdkValues:
    """Return plain, bounded values without secrets; contexts and extra data beyond 50 kB are left out."""
    if values == NO_VALUES:
        return values
    tags = {_tag_name(name): tag_text(value, redactor) for name, value in list(values.tags.items())[:MAX_ITEMS]}
    contexts = {name: value for name, value in values.contexts.items() if isinstance(value, Mapping)}
    return SdkValues(
        {name: text for name, text in tags.items() if name and text},
        dict(_within_bounds({name: plain_data(value, redactor) for name, value in contexts.items()})),
        dict(_within_bounds(plain_data(values.extra, redactor))),
        plain_data(values.user, redactor) if isinstance(values.user, Mapping) else None,
        values.breadcrumbs,
    )


def breadcrumb_of(crumb: Mapping[str, Any], default_at: float) -> Breadcrumb:
    """Return a breadcrumb of the SDK as one of ours; its time (Unix seconds) if it has a readable one."""
    level, data = crumb.get("level"), crumb.get("data")
    return Breadcrumb(
        text_of(crumb.get("message") or ""),
        text_of(crumb.get("category") or "default"),
        level if level in BREADCRUMB_LEVELS else "info",
        data if isinstance(data, Mapping) else {},
        _unix_time(crumb.get("timestamp"), default_at),
        text_of(crumb.get("type") or "default"),
    )


def _tag_name(name: object) -> str:
    return _NOT_IN_TAG_NAMES.sub("_", text_of(name)[:MAX_TAG_NAME])


def _within_bounds(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    size = 0
    for name, value in data.items():
        size += len(json.dumps(value))
        if size > MAX_BYTES:
            return
        yield name, value


def _unix_time(value: object, default: float) -> float:
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return default
    return float(value) if isinstance(value, (int, float)) else default
