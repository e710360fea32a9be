"""The list of withdrawn datasets as Redis and the replicas' disks hold it: written whole, read whole."""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_MARK = b"W1"
_HEAD = struct.Struct("<2sQI16s")
HEAD_BYTES = _HEAD.size
# A sequence is a time in microseconds; above the calendar's end there would soon be none left for a newer list.
MAX_SEQUENCE = 253_402_300_800_000_000


class MalformedListError(ValueError):
    """The bytes are not a whole list: keep the list that is known."""


@dataclass(frozen=True, eq=False)
class WithdrawnList:
    """`ids` int64, ascending; of two lists the one with the higher `sequence` is newer.

    Packed, little-endian: `"W1" | uint64 sequence | uint32 ids | 16 bytes BLAKE2b of the rest | int64 x ids`. The
    first `HEAD_BYTES` differ between any two lists, so that a reader who knows them needs no more.
    """

    sequence: int
    ids: NDArray[np.int64]

    @classmethod
    def of(cls, sequence: int, ids: Iterable[int]) -> Self:
        """Return the list of these datasets, in whatever order and however often each is named."""
        return cls(sequence, np.array(sorted(set(ids)), np.int64))

    def holds(self, ids: Iterable[int]) -> bool:
        """Return whether it names exactly these datasets."""
        return np.array_equal(self.ids, np.array(sorted(set(ids)), np.int64))

    def pack(self) -> bytes:
        """Return the bytes to keep."""
        body = self.ids.astype("<i8").tobytes()
        return _HEAD.pack(_MARK, self.sequence, len(self.ids), _digest(body)) + body

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read packed bytes; raises `MalformedListError`."""
        try:
            mark, sequence, count, digest = _HEAD.unpack_from(data)
        except struct.error as error:
            raise MalformedListError(f"not a list of withdrawn datasets: {error}") from error
        body = data[HEAD_BYTES:]
        if mark != _MARK or len(body) != 8 * count or digest != _digest(body):
            raise MalformedListError(f"not a list of withdrawn datasets: {mark!r}, {count} ids in {len(body)} bytes")
        if sequence > MAX_SEQUENCE:
            raise MalformedListError(f"the list of withdrawn datasets has the sequence {sequence}: it is no time")
        return cls(sequence, np.frombuffer(body, "<i8").astype(np.int64))


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()
