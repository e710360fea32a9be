"""The folder of a service process for what it receives and unpacks; what killed processes left is removed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_LOCK_SUFFIX = ".lock"


class ForeignFolderError(OSError):
    """Another user owns the folder: remove it, or set TMPDIR to a folder of the service's own."""


class Scratch:
    """A folder below the system's temporary one, made when it is first needed.

    Each process holds a lock beside its folder, which ends with the process. A folder whose lock is free is left over.
    """

    def __init__(self) -> None:
        self._root = Path(tempfile.gettempdir()) / f"recsys-registry-{os.getuid()}"
        self._own: Path | None = None
        self._lock: IO[bytes] | None = None

    def collect(self) -> int:
        """Remove what ended processes left; return how many folders that were."""
        if not self._root.is_dir():
            return 0
        with self._one_process():
            return self._collect()

    @contextmanager
    def folder(self, prefix: str) -> Iterator[Path]:
        """Give an empty folder for the length of a block."""
        with tempfile.TemporaryDirectory(prefix=f"{prefix}-", dir=self._path(), ignore_cleanup_errors=True) as made:
            yield Path(made)

    def close(self) -> None:
        """Remove the process's folder."""
        if self._own is not None and self._lock is not None:
            shutil.rmtree(self._own, ignore_errors=True)
            _lock_of(self._own).unlink(missing_ok=True)
            self._lock.close()
        self._own = self._lock = None

    def _path(self) -> Path:
        if self._own is None:
            with self._one_process():
                # Another thread may have made it meanwhile.
                if self._own is None:
                    own = Path(tempfile.mkdtemp(dir=self._root))
                    self._lock = _lock_of(own).open("wb")
                    fcntl.flock(self._lock, fcntl.LOCK_EX)
                    self._own = own
        return self._own

    @contextmanager
    def _one_process(self) -> Iterator[None]:
        self._root.mkdir(mode=0o700, exist_ok=True)
        if self._root.stat().st_uid != os.getuid():
            raise ForeignFolderError(f"{self._root}: belongs to another user")
        with (self._root / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _collect(self) -> int:
        removed = 0
        for folder in self._root.iterdir():
            if not folder.is_dir() or folder == self._own:
                continue
            with _lock_of(folder).open("ab") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                shutil.rmtree(folder, ignore_errors=True)
                _lock_of(folder).unlink(missing_ok=True)
                removed += 1
        return removed


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + _LOCK_SUFFIX)
