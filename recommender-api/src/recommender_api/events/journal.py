"""An append-only file of events that wait for Redis. Blocking: call it from a thread.

Each line is one event: its id, a tab, its JSON body. A line is valid once its newline is on the disk.
"""

import fcntl
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from recommender_api.redis_store import NewEvent

_log = logging.getLogger(__name__)

_NAME = "events.journal"


class JournalError(Exception):
    """The events could not be made durable; the caller should send them again later."""


class JournalFullError(JournalError):
    """The journal has reached its maximum size."""


class JournalInUseError(OSError):
    """Another process uses this folder; give each replica its own."""


class Journal:
    """Owned by one process, from `open` to `close`."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._path = folder / _NAME
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._size = 0
        self._replayed = 0
        # The ids that are waiting, so that repeated events are recognized.
        self._ids: set[str] = set()

    @property
    def waiting_bytes(self) -> int:
        """The bytes of events that wait for Redis."""
        return self._size - self._replayed

    def open(self) -> None:
        """Open the file, including the events of an earlier process; raises `OSError`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise JournalInUseError(f"{self._path.name} belongs to another process; set EVENT_JOURNAL_DIR") from error
        file.seek(0)
        content = file.read()
        # An incomplete last line is an event whose sender never got a receipt.
        self._size = content.rfind(b"\n") + 1
        file.truncate(self._size)
        self._ids = {event.event_id for event in _events(content[: self._size])}
        self._file = file
        _sync_folder(self._path.parent)

    def close(self) -> None:
        """Close the file; the events in it stay."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def append(self, events: Sequence[NewEvent]) -> int:
        """Store durably the events that aren't waiting already and return their number; raises `JournalError`."""
        fresh = {event.event_id: event for event in events if event.event_id not in self._ids}
        lines = b"".join(b"%b\t%b\n" % (event.event_id.encode(), event.body) for event in fresh.values())
        if self._size + len(lines) > self._max_bytes:
            raise JournalFullError(f"{self._size} bytes of events wait already")
        file = self._open_file()
        try:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            file.truncate(self._size)
            raise JournalError(f"the journal can't be written: {error.strerror}") from error
        self._size += len(lines)
        self._ids.update(fresh)
        return len(fresh)

    def next(self, max_bytes: int) -> tuple[list[NewEvent], int]:
        """Return the oldest waiting events, and the offset after them for `mark_replayed`; raises `OSError`.

        Lines that are not events are skipped, and a line longer than `max_bytes` is read whole: neither blocks the
        others.
        """
        file = self._open_file()
        waiting = self.waiting_bytes
        block = b""
        while len(block) < waiting:
            wanted = min(max(max_bytes, 2 * len(block)), waiting)
            block = os.pread(file.fileno(), wanted, self._replayed)
            if len(block) < wanted or b"\n" in block:
                break
        whole = block.rfind(b"\n") + 1
        # Without a newline, another process has truncated the file: nothing more is in it.
        return _events(block[:whole]), self._replayed + whole if whole else self._size

    def mark_replayed(self, offset: int) -> None:
        """Record that everything before `offset` is in Redis; an empty journal is truncated."""
        self._replayed = offset
        if offset >= self._size:
            file = self._open_file()
            file.truncate(0)
            os.fsync(file.fileno())
            self._size = self._replayed = 0
            self._ids.clear()

    def _open_file(self) -> BinaryIO:
        if self._file is None:
            raise JournalError("the journal is not open")
        return self._file


def _events(block: bytes) -> list[NewEvent]:
    events, unreadable = [], 0
    # Not splitlines(): it also splits at other characters than a newline.
    for line in block.split(b"\n"):
        event_id, separator, body = line.partition(b"\t")
        if separator and event_id:
            events.append(NewEvent(event_id.decode("utf-8", "replace"), body))
        elif line:
            unreadable += 1
    if unreadable:
        _log.error("%d lines of the event journal are not events and are skipped", unreadable)
    return events


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable: sync its folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
