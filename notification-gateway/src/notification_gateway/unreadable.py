"""Reports data that can't be read and was left out, so that people are notified of it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

import monitoring
from contracts.text import escape_text, repair_text

POINT = "gateway.unreadable_alert"
MAX_SOURCE_CHARS = 100
MAX_DETAIL_CHARS = 1500


def report_unreadable(source: str, detail: str) -> None:
    """Report unreadable data; `source` names its sender or its table."""
    monitoring.report(POINT, source=escape_text(source, MAX_SOURCE_CHARS), detail=repair_text(detail, MAX_DETAIL_CHARS))


def report_row(table: str, row_id: int | str, error: ValidationError) -> None:
    """Report a stored row that can't be read."""
    report_unreadable(
        f"stored {table}", f"row {row_id} of the table {table} can't be read and was left out: {first_problem(error)}"
    )


def first_problem(error: ValidationError) -> str:
    """Return the first invalid field and its problem in one line, without the value."""
    return describe_problem(error.errors(include_url=False, include_context=False, include_input=False)[0])


def describe_problem(found: Mapping[str, Any]) -> str:
    """Return the field and the problem of one of pydantic's errors in one line."""
    field = ".".join(str(part) for part in found["loc"])
    message = str(found["msg"]).removeprefix("Value error, ")
    return f"{field}: {message}" if field else message
