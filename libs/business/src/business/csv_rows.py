"""Rows as CSV: a reader that parses whole batches needs no Python value for each cell."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

MAX_BATCH_BYTES = 64 * 2**20


class Form(Enum):
    """What the texts of a column are."""

    INTEGER = auto()
    # Decimal or floating point, also `NaN` and `Infinity`.
    NUMBER = auto()
    # `rows` gives the same text.
    TEXT = auto()
    OTHER = auto()


class CsvColumn(NamedTuple):
    """A column of a result; `parse` makes the value that `rows` would give from a text that is not NULL."""

    name: str
    form: Form
    parse: Callable[[str], object]


@dataclass(frozen=True)
class CsvRows:
    """The result of a statement as CSV in UTF-8, without a header. NULL is empty; an empty text is `""`.

    `send` reads it once, and calls its argument with the bytes of whole rows. An error of that call ends the reading;
    then the connection can only be closed.
    """

    columns: list[CsvColumn]
    send: Callable[[Callable[[bytes], None]], None]


class CsvBatches:
    """Collects rows to batches; it raises what the receiver raises."""

    def __init__(self, receive: Callable[[bytes], None], batch_rows: int) -> None:
        self._receive = receive
        self._batch_rows = batch_rows
        self._rows: list[bytes] = []
        self._bytes = 0

    def write(self, row: bytes) -> None:
        """Add one whole row."""
        self._rows.append(row)
        self._bytes += len(row)
        if len(self._rows) >= self._batch_rows or self._bytes >= MAX_BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Pass on what has been collected."""
        if not self._rows:
            return
        data = b"".join(self._rows)
        self._rows, self._bytes = [], 0
        self._receive(data)
