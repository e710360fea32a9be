"""Packed user state in Redis: the snapshot's blob (features and long-term history) and the live history.

Little-endian. A history entry is 13 bytes: int64 dataset id, uint32 Unix seconds, uint8 `InteractionType`;
entries are stored column by column, newest first.

    user blob     "U1" | uint16 features | uint16 entries | float32 x features | history
    live history  "L1" | uint64 sequence | uint16 entries | history
"""

import struct
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

MAX_LONG_TERM = 200
MAX_LIVE = 50
# A live history without a further event expires after so long.
LIVE_SECONDS = 90 * 86_400
MAX_SECONDS = 2**32 - 1
MAX_SEQUENCE = 2**64 - 1

_USER_HEAD = struct.Struct("<2sHH")
_LIVE_HEAD = struct.Struct("<2sQH")
_ENTRY_BYTES = 8 + 4 + 1


class PackedHistory(NamedTuple):
    """So many `entries` as they lie in a blob, from the byte `start` on; their length has been checked."""

    data: bytes = b""
    start: int = 0
    entries: int = 0


class MalformedBlobError(ValueError):
    """The bytes are not a blob of this format; treat the user as cold and report it."""


@dataclass(frozen=True)
class History:
    """Interactions of one user, newest first, at most one per dataset: three arrays of one length."""

    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    ts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    types: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def build(
        cls,
        ids: NDArray[np.int64],
        ts: NDArray[np.int64],
        types: NDArray[np.uint8],
        limit: int = MAX_LONG_TERM,
    ) -> Self:
        """Sort interactions newest first, keep the newest time and strongest type per dataset, and cut to `limit`."""
        if not len(ids):
            return cls()
        by_id = np.argsort(ids)
        grouped = ids[by_id]
        starts = np.flatnonzero(np.append(True, grouped[1:] != grouped[:-1]))
        unique = grouped[starts]
        newest = np.maximum.reduceat(ts[by_id], starts)
        strongest = np.maximum.reduceat(types[by_id], starts)
        order = np.lexsort((unique, -newest))[:limit]
        return cls(unique[order].astype(np.int64), newest[order].astype(np.int64), strongest[order].astype(np.uint8))

    def merge(self, live: Self, limit: int = MAX_LONG_TERM) -> Self:
        """Return this history with `live` on top of it."""
        if not len(live):
            return self
        return type(self).build(
            np.concatenate([live.ids, self.ids]),
            np.concatenate([live.ts, self.ts]),
            np.concatenate([live.types, self.types]),
            limit,
        )

    def pack(self) -> bytes:
        """Return the entries in the layout of this module."""
        return b"".join(
            (
                self.ids.astype("<i8").tobytes(),
                self.ts.astype("<u4").tobytes(),
                self.types.astype("u1").tobytes(),
            )
        )

    def packed(self) -> PackedHistory:
        """Return the packed entries by themselves."""
        return PackedHistory(self.pack(), 0, len(self))

    @classmethod
    def unpack(cls, packed: PackedHistory) -> Self:
        """Read packed entries."""
        data, start, count = packed
        # Copies, as a merged history's arrays are: for a read-only one, loops would be compiled once more.
        return cls(
            np.frombuffer(data, "<i8", count, start).astype(np.int64),
            np.frombuffer(data, "<u4", count, start + count * 8).astype(np.int64),
            np.frombuffer(data, "u1", count, start + count * 12).astype(np.uint8),
        )


@dataclass(frozen=True)
class UserBlob:
    """What the snapshot knows of a user: `features` float32 in the order of the manifest, and the history."""

    features: NDArray[np.float32]
    history: History

    def pack(self) -> bytes:
        """Return the bytes stored under `redis_keys.user_features`."""
        head = _USER_HEAD.pack(b"U1", len(self.features), len(self.history))
        return head + self.features.astype("<f4").tobytes() + self.history.pack()

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read a stored blob; raises `MalformedBlobError`."""
        features, history = cls.opened(data)
        return cls(features, History.unpack(history))

    @staticmethod
    def opened(data: bytes) -> tuple[NDArray[np.float32], PackedHistory]:
        """Read the features of a stored blob, and leave its history packed; raises `MalformedBlobError`."""
        magic, features, entries = _head(_USER_HEAD, data)
        if magic != b"U1":
            raise MalformedBlobError(f"a user blob starts with {magic!r}, expected b'U1'")
        start = _USER_HEAD.size + features * 4
        if len(data) < start:
            raise MalformedBlobError(f"{len(data)} bytes are too short for {features} features")
        return (
            np.frombuffer(data, "<f4", features, _USER_HEAD.size).astype(np.float32),
            _history(data, start, entries),
        )


@dataclass(frozen=True)
class LiveHistory:
    """What happened since the snapshot; `sequence` grows by one with each change and invalidates cached answers."""

    sequence: int = 0
    history: History = field(default_factory=History)

    def append(self, ids: NDArray[np.int64], ts: NDArray[np.int64], types: NDArray[np.uint8]) -> Self:
        """Return the history with new interactions on top, cut to `MAX_LIVE`, and the next sequence number.

        Raises `OverflowError` for a time that an entry has no room for: it would come back as another one.
        """
        if len(ts) and not (ts.min() >= 0 and ts.max() <= MAX_SECONDS):
            raise OverflowError("the time of an interaction lies outside of 1970 to 2106")
        # A cached answer is current if it has the same sequence: 0 may follow on the last one that has room.
        return type(self)((self.sequence + 1) & MAX_SEQUENCE, self.history.merge(History(ids, ts, types), MAX_LIVE))

    def pack(self) -> bytes:
        """Return the bytes stored under `redis_keys.live_history`."""
        return _LIVE_HEAD.pack(b"L1", self.sequence, len(self.history)) + self.history.pack()

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read stored bytes; raises `MalformedBlobError`."""
        sequence, history = cls.opened(data)
        return cls(sequence, History.unpack(history))

    @staticmethod
    def opened(data: bytes) -> tuple[int, PackedHistory]:
        """Read the sequence number of stored bytes, and leave the history packed; raises `MalformedBlobError`."""
        magic, sequence, entries = _head(_LIVE_HEAD, data)
        if magic != b"L1":
            raise MalformedBlobError(f"a live history starts with {magic!r}, expected b'L1'")
        return sequence, _history(data, _LIVE_HEAD.size, entries)


def _history(data: bytes, start: int, count: int) -> PackedHistory:
    length = len(data) - start
    if length != count * _ENTRY_BYTES:
        raise MalformedBlobError(f"{length} bytes of history for {count} entries, expected {count * _ENTRY_BYTES}")
    return PackedHistory(data, start, count)


def _head(layout: struct.Struct, data: bytes) -> tuple[bytes, int, int]:
    if len(data) < layout.size:
        raise MalformedBlobError(f"{len(data)} bytes are shorter than the header")
    magic, first, second = layout.unpack_from(data)
    return magic, first, second
