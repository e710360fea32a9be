"""The progress of a run as JSON lines: appended by the run, read by anyone at any time from an offset on."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict

Record = dict[str, Any]


class _Place(TypedDict):
    offset: int
    run: str


class ProgressLog:
    """Appends records to a new file; each has its `kind` and `at`, a Unix time."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._clock = clock
        self._file = path.open("w", encoding="utf-8", buffering=1)

    def append(self, kind: str, values: Mapping[str, Any]) -> None:
        """Append a record; it is in the file when this returns."""
        self._file.write(json.dumps({"kind": kind, "at": self._clock(), **values}, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_from(path: Path, offset: int = 0) -> tuple[list[Record], int]:
    """Return the complete records from an offset (bytes) on, and the offset after them.

    A last line that is still being written is left for the next reading.
    """
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read()
    complete = content[: content.rfind(b"\n") + 1]
    return [json.loads(line) for line in complete.splitlines()], offset + len(complete)


class Bookmark:
    """Remembers in a file how far a reader has come; a reader that starts again goes on there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read_new(self, log: Path) -> list[Record]:
        """Return the records since the last reading of this run's log."""
        first = _first_line(log)
        offset = self._offset(first)
        records, reached = read_from(log, offset)
        self._path.write_text(json.dumps(_Place(offset=reached, run=first)), encoding="utf-8")
        return records

    def _offset(self, run: str) -> int:
        try:
            place: _Place = json.loads(self._path.read_text(encoding="utf-8"))
            return place["offset"] if place["run"] == run else 0
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0


def _first_line(log: Path) -> str:
    with log.open("rb") as file:
        return file.readline().decode(errors="replace")
