"""Collecting what is wrong with the rows of a source, so that one run shows all of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import InputError

MAX_SHOWN = 20


class BadRowError(ValueError):
    """One row can't be read; the message names the column and the value."""


class RowErrors:
    """Bad rows by file and line."""

    def __init__(self) -> None:
        """Start without any."""
        self._shown: list[str] = []
        self._count = 0

    @contextmanager
    def at(self, path: Path, line: int) -> Iterator[None]:
        """Keep a `BadRowError` raised inside, and go on."""
        try:
            yield
        except BadRowError as error:
            self._count += 1
            if len(self._shown) < MAX_SHOWN:
                self._shown.append(f"{path.name}:{line}: {error}")

    def raise_if_any(self) -> None:
        """Raise `InputError` that lists the first `MAX_SHOWN` bad rows."""
        if not self._count:
            return
        hidden = self._count - len(self._shown)
        more = [f"… and {hidden} more"] if hidden else []
        head = f"{self._count} bad row{'s' if self._count > 1 else ''}; nothing was loaded"
        raise InputError("\n".join([head, *self._shown, *more]))


def cut(value: str) -> str:
    """Return a value short enough for a message."""
    return repr(value if len(value) <= 60 else value[:57] + "…")
