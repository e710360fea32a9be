"""An answer's items as they are kept in Redis, ready to be sent again under another request's id."""

from dataclasses import dataclass

import orjson
from pydantic import TypeAdapter, ValidationError

from contracts.events import EntityId


class MalformedAnswerError(ValueError):
    """The bytes are not a stored answer; ask the main path instead and report it."""


@dataclass(frozen=True, slots=True)
class Served:
    """Which model gave an answer."""

    model_name: str
    model_version: str
    model_variant: str
    experiment_variant: str | None = None


@dataclass(frozen=True, slots=True)
class _Head:
    served: Served
    sequence: int
    snapshot: str | None
    ids: list[EntityId]


_HEAD = TypeAdapter(_Head)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """`ids` of the datasets and `items`, the JSON array that goes into the body.

    `sequence` and `snapshot` are those of the user's state that the answer was computed from: with any other state
    it is stale. Packed: one line of JSON, then the items.
    """

    served: Served
    ids: list[int]
    items: bytes
    sequence: int = 0
    snapshot: str | None = None

    def pack(self) -> bytes:
        """Return the bytes to keep."""
        head = {
            "served": self.served,
            "sequence": self.sequence,
            "snapshot": self.snapshot,
            "ids": self.ids,
        }
        return orjson.dumps(head) + b"\n" + self.items

    @classmethod
    def unpack(cls, data: bytes) -> "StoredAnswer":
        """Read kept bytes; raises `MalformedAnswerError`."""
        line, separator, items = data.partition(b"\n")
        if not separator or not items.startswith(b"[") or not items.endswith(b"]"):
            raise MalformedAnswerError("not a stored answer: no items after the first line")
        try:
            head = _HEAD.validate_json(line)
        except ValidationError as error:
            raise MalformedAnswerError(f"not a stored answer: {error.errors()[0]['msg']}") from error
        return cls(head.served, head.ids, items, head.sequence, head.snapshot)
