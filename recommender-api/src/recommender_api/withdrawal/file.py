"""The list on the disk of one replica, for a start while Redis is down."""

import os
from pathlib import Path

from contracts.withdrawn import WithdrawnList


class WithdrawnFile:
    """One file, always written completely."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "withdrawn"

    def load(self) -> tuple[WithdrawnList, float] | None:
        """Return the list and when it was saved (Unix seconds), None if there is no file.

        Raises `MalformedListError` or `OSError`.
        """
        try:
            data, saved_at = self._path.read_bytes(), self._path.stat().st_mtime
        except FileNotFoundError:
            return None
        return WithdrawnList.unpack(data), saved_at

    def save(self, data: bytes) -> None:
        """Save a packed list so that it survives a power loss; raises `OSError`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".tmp")
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
