"""The durable store: one folder per process, locked while the process runs. Other processes adopt what it left.

    <folder>/<process id>-<random>/.lock             locked by flock while the process runs
    <folder>/<process id>-<random>/<name>            one payload
    <folder>/<process id>-<random>/.<name>.tmp       a payload that is about to replace another

A killed process leaves no payload in two places. At worst it leaves an empty file, whose write had not returned.
"""

import errno
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from monitoring.store import Item

_LOCK = ".lock"
# A folder is created under a name with a dot and renamed once it is locked. After this time without it is abandoned.
_UNLOCKED_SECONDS = 60.0


class DiskStore:
    """Payloads as files, readable by this user only. They survive the process, but not a power loss."""

    durable = True

    def __init__(self, folder: Path) -> None:
        """Make the process's folder; raises `OSError` if it cannot be written."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{os.getpid()}-{token_hex(4)}"
        unlocked = folder / f".{name}"
        unlocked.mkdir(mode=0o700)
        self._lock: int | None = os.open(unlocked / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._own = unlocked.rename(folder / name)
        self._folder = folder

    def write(self, name: str, payload: bytes) -> None:
        """Store, or replace as a whole; raises `OSError` when there is no room."""
        path = f"{self._own}/{name}"
        try:
            _write(path, payload)
        except FileExistsError:
            unfinished = f"{self._own}/.{name}.tmp"
            _write(unfinished, payload)
            os.rename(unfinished, path)  # noqa: PTH104 - on the caller's thread, and twice as fast as a Path

    def read(self, name: str) -> bytes | None:
        """Return the payload, or None if it is gone."""
        try:
            return (self._own / name).read_bytes()
        except OSError:
            return None

    def remove(self, name: str) -> None:
        """Delete; nothing happens if it is gone."""
        with suppress(OSError):
            (self._own / name).unlink()

    def adopt(self) -> list[Item]:
        """Move what dead processes left into the own folder, oldest first; raises `OSError`."""
        adopted = [item for folder in self._folder.iterdir() if folder != self._own for item in self._take_over(folder)]
        return sorted(adopted, key=lambda item: item.name)

    def close(self) -> None:
        """Unlock, so that others adopt what is left; remove an empty folder."""
        with suppress(OSError):
            if next((path for path in self._own.iterdir() if path.name != _LOCK), None) is None:
                (self._own / _LOCK).unlink()
                self._own.rmdir()
        self.abandon()

    def abandon(self) -> None:
        """In a forked child: leave everything to the parent. This descriptor would keep its lock after its end."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_over(self, folder: Path) -> list[Item]:
        try:
            if folder.name.startswith(".") and time.time() - folder.stat().st_mtime < _UNLOCKED_SECONDS:
                return []
            lock = os.open(folder / _LOCK, os.O_RDWR)
        except OSError:
            # Another process adopts it at this moment, or it is not a folder of a store.
            return []
        moved: list[Item] = []
        # If its owner runs and has the lock, or a file cannot be moved, the rest waits for the next time.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in sorted(folder.iterdir()):
                size = path.stat().st_size
                if size and not path.name.startswith("."):
                    path.rename(self._own / path.name)
                    moved.append(Item(path.name, size))
                elif path.name != _LOCK:
                    path.unlink()
            (folder / _LOCK).unlink()
            folder.rmdir()
        os.close(lock)
        return moved


def _write(path: str, payload: bytes) -> None:
    # In as few calls as possible: a report may run on an event loop.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        written = os.write(file, payload)
    except OSError:
        written = 0
    finally:
        os.close(file)
    if written != len(payload):
        os.unlink(path)  # noqa: PTH108 - as above
        raise OSError(errno.ENOSPC, f"{written} of {len(payload)} bytes fitted on the disk")
