"""The faults in the rows of a source: each by file, line and column, and then counts by kind."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

MAX_SHOWN = 100
_MAX_VALUE_CHARS = 60


class BadCellError(ValueError):
    """A cell, or a whole row, can't be used: the message says why and how to write it.

    `kind` names the fault in a few words; faults are counted by it. `ahead` is how far a time is in the future.
    """

    def __init__(self, kind: str, message: str, ahead: timedelta | None = None) -> None:
        """Take the kind, the message that follows the column and its value, and the time ahead."""
        super().__init__(message)
        self.kind = kind
        self.ahead = ahead


@dataclass
class _Kind:
    first_line: int
    count: int = 0
    ahead: timedelta | None = None


@dataclass
class BadRows:
    """The faults of all files of a source, the first `MAX_SHOWN` of them in full."""

    rows: int = 0
    _faults: int = 0
    _shown: list[str] = field(default_factory=list)
    _kinds: dict[tuple[str, str, str], _Kind] = field(default_factory=dict)
    _last: tuple[str, int] = ("", -1)

    def __bool__(self) -> bool:
        return self.rows > 0

    def add(self, file: str, line: int, column: str | None, value: object, error: BadCellError) -> None:
        """Count a fault; `line` 0 means the whole file."""
        if (file, line) != self._last or not line:
            self.rows += 1
            self._last = (file, line)
        self._faults += 1
        if len(self._shown) < MAX_SHOWN:
            place = f"{file}:{line}" if line else file
            what = f"{column} {show_value(value)} " if column is not None else ""
            self._shown.append(f"{place}: {what}{error}")
        kind = self._kinds.setdefault((file, column or "row", error.kind), _Kind(line))
        kind.count += 1
        if error.ahead is not None:
            kind.ahead = max(error.ahead, kind.ahead or error.ahead)

    def lines(self) -> list[str]:
        """Return the report: the faults, the number of hidden ones, their counts by kind, advice."""
        hidden = self._faults - len(self._shown)
        more = [f"… and {hidden:,} more", *self._counts()] if hidden else []
        return [*self._shown, *more, *self._future()]

    def _counts(self) -> Iterable[str]:
        for (file, column, kind), found in sorted(self._kinds.items(), key=lambda item: -item[1].count):
            yield f"{file}: {column}: {found.count:,} × {kind}, first in line {found.first_line}"

    def _future(self) -> Iterable[str]:
        for (file, column, _), found in self._kinds.items():
            if found.ahead is not None:
                hours = found.ahead / timedelta(hours=1)
                yield (
                    f"{file}: {found.count:,} × up to {hours:.1f} h ahead: is `{column}` local time? "
                    "Add its offset (as +08:00), or set TIMEZONE=Asia/Shanghai"
                )


@dataclass(frozen=True)
class FileFaults:
    """The faults of one file."""

    file: str
    all: BadRows

    def add(self, line: int, error: BadCellError, column: str | None = None, value: object = None) -> None:
        """Count a fault of a cell, or of a row if no column is given."""
        self.all.add(self.file, line, column, value, error)


def show_value(value: object) -> str:
    """Return a value for a message: shortened, and without control characters of a terminal."""
    if value is None:
        return "(no value)"
    if isinstance(value, (str, bytes)):
        return repr(value if len(value) <= _MAX_VALUE_CHARS else value[: _MAX_VALUE_CHARS - 3]) + (
            "…" if len(value) > _MAX_VALUE_CHARS else ""
        )
    # Numbers and times as people write them; texts inside lists and objects are escaped.
    text = str(value)
    return text if len(text) <= _MAX_VALUE_CHARS else text[: _MAX_VALUE_CHARS - 3] + "…"
