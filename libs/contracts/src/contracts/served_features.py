"""What an answer to a user of the sample was ranked with.

recommender-api logs it, feature-sync stores it for some days, and the pipeline computes it again. An entry of the
stream has two fields: `served` is a `ServedHead` as JSON, and `vectors` a packed `ServedVectors`, little-endian:

    "S1" | uint32 candidates, columns, best, hidden, bytes of the live history | zlib of the arrays in their order
"""

import struct
import zlib
from typing import Annotated, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contracts.moments import EventMoment

HEAD_FIELD, VECTORS_FIELD = "served", "vectors"
# 64 columns of 2,000 candidates.
MAX_UNPACKED_BYTES = 1_000_000
_HEAD = struct.Struct("<2s5I")
_MAGIC = b"S1"
# The fastest: an entry is read once at most.
_LEVEL = 1
_NUMBER_BYTES = 4


class MalformedVectorsError(ValueError):
    """The bytes are not vectors of this format; leave the entry out."""


class ServedHead(BaseModel):
    """Who asked for what, when, and what answered. `ts` is the time of the query; its features have whole seconds."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    # First, so that entries about a user are found.
    user_id: Annotated[int, Field(ge=1, lt=2**63)]
    served_id: Annotated[str, Field(pattern=r"^srv-[0-9a-f]{16}$")]
    ts: EventMoment
    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
    endpoint: Annotated[str, Field(max_length=32)]
    dataset_id: Annotated[int | None, Field(ge=1, lt=2**63)] = None
    max_items: Annotated[int, Field(ge=1, le=1000)]
    model_version: Annotated[str, Field(max_length=64)]
    bundle_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    snapshot: Annotated[str | None, Field(max_length=256)] = None


class ServedVectors(NamedTuple):
    """The candidates as catalogue positions int32 [m], their features float32 [m, columns], and the answer.

    `best` int32 [k] are the positions in the answer, with `scores` float32 [k]; `hidden` int32 [h] are the withdrawn
    ones. `live` is the live history as it was in Redis; empty: there was none.
    """

    items: NDArray[np.int32]
    matrix: NDArray[np.float32]
    best: NDArray[np.int32]
    scores: NDArray[np.float32]
    hidden: NDArray[np.int32]
    live: bytes

    def pack(self) -> bytes:
        """Return the bytes of the stream's field."""
        rows, columns = self.matrix.shape
        head = _HEAD.pack(_MAGIC, rows, columns, len(self.best), len(self.hidden), len(self.live))
        # Column by column: most columns of a user have few values.
        arrays = (
            self.items.astype("<i4"),
            self.matrix.T.astype("<f4"),
            self.best.astype("<i4"),
            self.scores.astype("<f4"),
            self.hidden.astype("<i4"),
        )
        return head + zlib.compress(b"".join([*(array.tobytes() for array in arrays), self.live]), _LEVEL)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read packed vectors; raises `MalformedVectorsError`."""
        if len(data) < _HEAD.size:
            raise MalformedVectorsError(f"{len(data)} bytes are shorter than the header")
        magic, rows, columns, best, hidden, live = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise MalformedVectorsError(f"vectors start with {magic!r}, expected {_MAGIC!r}")
        numbers = (rows, rows * columns, best, best, hidden)
        size = sum(numbers) * _NUMBER_BYTES + live
        if size > MAX_UNPACKED_BYTES:
            raise MalformedVectorsError(f"{size} bytes, more than {MAX_UNPACKED_BYTES}")
        try:
            content = zlib.decompressobj().decompress(data[_HEAD.size :], size + 1)
        except zlib.error as error:
            raise MalformedVectorsError(str(error)) from error
        if len(content) != size:
            raise MalformedVectorsError(f"{len(content)} bytes of arrays, expected {size}")
        parts, start = [], 0
        for count, kind in zip(numbers, ("<i4", "<f4", "<i4", "<f4", "<i4"), strict=True):
            parts.append(np.frombuffer(content, kind, count, start))
            start += count * _NUMBER_BYTES
        items, matrix, shown, scores, left_out = parts
        return cls(items, matrix.reshape(columns, rows).T, shown, scores, left_out, content[start:])
