"""An answer's items as Redis caches them, ready to be sent again with another request's id."""

import hashlib
import struct
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError

# Also part of the keys, so answers that another release wrote in another format are not found, instead of being
# reported as damaged.
LAYOUT = "A1"


class MalformedAnswerError(ValueError):
    """The bytes are not a stored answer; use the main path instead and report it."""


class Served(NamedTuple):
    """The model that gave an answer."""

    model_name: str
    model_version: str
    model_variant: str
    experiment_variant: str | None = None

    def members(self) -> bytes:
        """Return the JSON members that name the model."""
        return _written(self)

    def digest(self) -> str:
        """Return a text that is the same for equal models and experiments and different for different ones."""
        return _digest(self)


class StoredAnswer(NamedTuple):
    """`ids` of the datasets and `items`, the JSON array that goes into the body.

    `sequence` and `snapshot` identify the user's state that the answer was computed from: with any other state it is
    stale. Packed, little-endian:

        "A1" | uint64 sequence | uint16 m | uint16 v | uint16 ids | uint32 i |
        m bytes members | v bytes version | int64 x ids | i bytes items

    The members are those of `Served`; the version is that of the snapshot, empty if there was none.
    """

    served: Served
    ids: list[int]
    items: bytes
    sequence: int = 0
    snapshot: str | None = None

    def pack(self) -> bytes:
        """Return the bytes to cache."""
        served = self.served.members()
        snapshot = (self.snapshot or "").encode()
        head = _HEAD.pack(_MARK, self.sequence, len(served), len(snapshot), len(self.ids), len(self.items))
        return b"".join((head, served, snapshot, struct.pack(f"<{len(self.ids)}q", *self.ids), self.items))

    def without(self, ids: Collection[int]) -> "StoredAnswer":
        """Return the answer without these datasets; raises `MalformedAnswerError`."""
        try:
            items = [item for item in orjson.loads(self.items) if item["dataset_id"] not in ids]
        except (ValueError, TypeError, KeyError) as error:
            raise MalformedAnswerError(f"not a stored answer: {error}") from error
        return self._replace(ids=[id_ for id_ in self.ids if id_ not in ids], items=orjson.dumps(items))

    @classmethod
    def unpack(cls, data: bytes) -> "StoredAnswer":
        """Decode cached bytes; raises `MalformedAnswerError`."""
        try:
            magic, sequence, length, version, count, rest = _HEAD.unpack_from(data)
            after_served = _HEAD.size + length
            after_snapshot = after_served + version
            ids = list(struct.unpack_from(f"<{count}q", data, after_snapshot))
        except struct.error as error:
            raise MalformedAnswerError(f"not a stored answer: {error}") from error
        items = data[after_snapshot + 8 * count :]
        if magic != _MARK or len(items) != rest:
            raise MalformedAnswerError(f"not a stored answer: {magic!r}, {len(items)} bytes of items, expected {rest}")
        try:
            served = _read(data[_HEAD.size : after_served])
            snapshot = data[after_served:after_snapshot].decode("ascii") or None
        except ValueError as error:
            raise MalformedAnswerError(f"not a stored answer: {error}") from error
        return cls(served, ids, items, sequence, snapshot)


_MARK = LAYOUT.encode()
_HEAD = struct.Struct("<2sQHHHI")
_SERVED = TypeAdapter(Served)


# A process serves few models, and every answer names one of them.
@lru_cache(maxsize=64)
def _written(served: Served) -> bytes:
    return orjson.dumps(served._asdict())[1:-1]


@lru_cache(maxsize=64)
def _digest(served: Served) -> str:
    return hashlib.blake2b(_written(served), digest_size=8).hexdigest()


@lru_cache(maxsize=64)
def _read(members: bytes) -> Served:
    try:
        return _SERVED.validate_json(b"{%b}" % members)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from error
