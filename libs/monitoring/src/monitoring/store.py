"""Where payloads wait for delivery."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Item:
    """A stored payload: names sort by age, sizes are bytes."""

    name: str
    size: int


class Store(Protocol):
    """Stores payloads by name. Every method may be called from any thread."""

    durable: bool

    def write(self, name: str, payload: bytes) -> None:
        """Store, or replace as a whole; raises `OSError` when there is no room."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return the payload, or None if it is gone."""
        ...

    def remove(self, name: str) -> None:
        """Delete; nothing happens if it is gone."""
        ...

    def adopt(self) -> list[Item]:
        """Adopt what dead processes left, oldest first; raises `OSError`."""
        ...

    def close(self) -> None:
        """Unlock what is left, so that others may adopt it."""
        ...

    def abandon(self) -> None:
        """In a forked child: leave everything to the parent."""
        ...


class MemoryStore:
    """Payloads in memory: they wait for the collector, but not beyond the process."""

    durable = False

    def __init__(self) -> None:
        self._payloads: dict[str, bytes] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing waits here."""
        return not self._payloads

    def write(self, name: str, payload: bytes) -> None:
        """Store, or replace."""
        self._payloads[name] = payload

    def read(self, name: str) -> bytes | None:
        """Return the payload, or None if it is gone."""
        return self._payloads.get(name)

    def remove(self, name: str) -> None:
        """Delete; nothing happens if it is gone."""
        self._payloads.pop(name, None)

    def adopt(self) -> list[Item]:
        """Return nothing: no other process uses this memory."""
        return []

    def close(self) -> None:
        """Delete everything."""
        self._payloads.clear()

    def abandon(self) -> None:
        """Do nothing: the parent has its own memory."""
