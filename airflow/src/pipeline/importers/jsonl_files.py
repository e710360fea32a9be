"""Rows of JSON lines: one object a line."""

import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.importers.bad_rows import BadCellError, FileFaults, show_value
from pipeline.importers.rows import Columns, Row
from pipeline.importers.text_files import UnreadableFileError, numbered_lines


class _NotJsonError(ValueError):
    """JSON that Python's parser accepts, but that can't be intended."""


def rows(path: Path, encoding: str, columns: Columns, faults: FileFaults) -> Iterator[tuple[int, Row]]:
    """Yield each object with its line; raises `UnreadableFileError`."""
    known = frozenset(columns.known)
    for line, text in numbered_lines(path, encoding, faults):
        if not text.strip():
            continue
        if line == 1 and text.lstrip().startswith("["):
            raise UnreadableFileError("is a JSON array; write one object a line (`jq -c '.[]'`)")
        try:
            row = _parse(text)
        except BadCellError as error:
            faults.add(line, error)
            continue
        if strangers := row.keys() - known:
            names = ", ".join(show_value(name) for name in sorted(strangers))
            faults.add(
                line, BadCellError("unknown field", f"unknown field {names}; known are {', '.join(columns.known)}")
            )
        yield line, row


def _parse(text: str) -> Row:
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise BadCellError("not JSON", "is nested too deeply") from error
    except ValueError as error:
        raise BadCellError("not JSON", f"is not a JSON object: {error}; write one object a line") from error
    if not isinstance(value, dict):
        raise BadCellError("not an object", f"is {show_value(value)}, not an object; write one object a line")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _NotJsonError("a field appears twice")
    return fields
