"""Rows of CSV: a header, then cells separated by commas, quoted if they contain commas, quotes or line breaks."""

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.importers.bad_rows import BadCellError, FileFaults
from pipeline.importers.header import match_columns
from pipeline.importers.rows import Columns, Row
from pipeline.importers.text_files import MAX_LINE_CHARS, numbered_lines

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars", "，": "full-width commas"}


def rows(path: Path, encoding: str, columns: Columns, faults: FileFaults) -> Iterator[tuple[int, Row]]:
    """Yield each row with the number of its first line; raises `UnreadableFileError` and `HeaderError`."""
    lines = _Lines(numbered_lines(path, encoding, faults))
    first = next(lines, "")
    if first.strip().strip('"').lower().startswith("sep="):
        faults.add(1, BadCellError("sep", "a line `sep=` of a spreadsheet; delete it"))
        first = next(lines, "")
    line, delimiter = lines.number, _find_delimiter(first, columns)
    if delimiter != ",":
        message = f"separated by {_OTHER_DELIMITERS[delimiter]}; save it separated by commas ('CSV UTF-8')"
        faults.add(line, BadCellError("delimiter", message))
    lines.put_back(min(1, len(lines.record)))
    records = _records(lines, delimiter, faults)
    header = [name.strip() for name in next(records, (line, []))[1]]
    matched, misnamed = match_columns(header, columns)
    for fault in misnamed:
        faults.add(line, fault)
    for line, cells in records:
        if len(cells) == len(matched):
            if not cells[0].strip() and not any(cell.strip() for cell in cells):
                yield line, {}
            elif cells[0].strip(" \ufeff") == header[0] and [cell.strip(" \ufeff") for cell in cells] == header:
                faults.add(
                    line, BadCellError("repeated header", "repeats the header; were two files joined? Delete it")
                )
            else:
                yield line, dict(zip(matched, cells, strict=True))  # type: ignore[arg-type]
        elif any(cell.strip() for cell in cells):
            message = f"{len(cells)} values, the header has {len(matched)} columns; quote a cell that holds a comma"
            faults.add(line, BadCellError("number of values", message))
        else:
            yield line, {}


class _Lines:
    """The lines of a file, some of which can be read again."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._again: deque[tuple[int, str]] = deque()
        self.number = 0
        self.record: list[tuple[int, str]] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        pair = self._again.popleft() if self._again else next(self._lines)
        self.record.append(pair)
        self.number = pair[0]
        return pair[1]

    def put_back(self, count: int) -> None:
        """Let the last `count` lines of the record be read again."""
        self._again.extendleft(reversed(self.record[len(self.record) - count :]))
        self.record.clear()


def _records(lines: _Lines, delimiter: str, faults: FileFaults) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each record; a broken one is a fault, and reading continues after the quote that broke it."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    with _cells_up_to(MAX_LINE_CHARS):
        while True:
            lines.record.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                _refuse(lines, error, faults)
                continue
            if cells:
                yield lines.record[0][0], cells


def _refuse(lines: _Lines, error: csv.Error, faults: FileFaults) -> None:
    record = lines.record
    if len(record) == 1 and "unexpected end" not in str(error):
        faults.add(record[0][0], BadCellError("quotes", f"not CSV ({error}); inside a quoted cell a quote is doubled"))
        return
    opened = _where_opened(record if "unexpected end" in str(error) else record[:-1])
    faults.add(record[opened][0], BadCellError("quotes", "a quote opens here that is never closed"))
    lines.put_back(len(record) - 1 - opened)


def _where_opened(record: Sequence[tuple[int, str]]) -> int:
    """Return the index of the line with the quote that is still open at the end."""
    opened, is_open = 0, False
    for position, (_, text) in enumerate(record):
        quotes = text.replace('""', "").count('"')
        is_open ^= bool(quotes % 2)
        if quotes and is_open:
            opened = position
    return opened


def _find_delimiter(header: str, columns: Columns) -> str:
    if "," in header or any(name == header.strip().strip('"') for name in columns.known):
        return ","
    return next((mark for mark in _OTHER_DELIMITERS if mark in header), ",")


@contextmanager
def _cells_up_to(characters: int) -> Iterator[None]:
    """Let the csv module accept long cells, because the row's checks report them; its limit is process-wide."""
    before = csv.field_size_limit(characters)
    try:
        yield
    finally:
        csv.field_size_limit(before)
