"""Decodes entries of the event stream one by one, so that an unreadable one doesn't affect others."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.events import BehaviorEvent, Exposure, read_entry, receipt_of

# The entry of a full answer with a thousand datasets has 20 kB.
MAX_ENTRY_BYTES = 256 * 1024
MAX_REASON = 500
# The field of an entry that was a dead letter before: the id that it had first.
REPLAYED = b"replayed"
ENTRY_ID = re.compile(rb"[0-9]{1,19}-[0-9]{1,19}")

Fields = Mapping[bytes, bytes]
# Redis returns no fields for an entry that was taken and then deleted.
RawEntry = tuple[bytes, Fields | None]


@dataclass(frozen=True)
class Entry:
    """An entry and its content; `received_at` is when recommender-api received it (Unix time)."""

    id: bytes
    fields: Fields
    content: BehaviorEvent | Exposure
    received_at: float


@dataclass(frozen=True)
class DeadLetter:
    """An entry that cannot be processed, and the reason."""

    id: bytes
    fields: Fields
    reason: str


@dataclass(frozen=True)
class Decoded:
    """Entries, and those without valid events; `deleted` are the ids of entries without content."""

    entries: list[Entry]
    unreadable: list[DeadLetter]
    deleted: list[bytes]


def decode(raw: Iterable[RawEntry]) -> Decoded:
    """Decode entries in the form in which Redis returns them."""
    decoded = Decoded([], [], [])
    for entry_id, fields in raw:
        if fields is None:
            decoded.deleted.append(entry_id)
            continue
        try:
            decoded.entries.append(Entry(entry_id, fields, _content(fields), received_at(entry_id, fields)))
        # pydantic's ValidationError is a ValueError; depth and size of numbers have errors of their own.
        except (KeyError, ValueError, OverflowError, RecursionError) as error:
            decoded.unreadable.append(DeadLetter(entry_id, fields, reason_of("unreadable", error)))
    return decoded


def received_at(entry_id: bytes, fields: Fields) -> float:
    """Return when recommender-api received an entry (Unix time).

    Its id says so, unless it has waited in a journal or was a dead letter. Raises as `contracts.events.receipt_of`.
    """
    receipt = receipt_of(fields)
    if receipt is not None:
        return receipt.timestamp()
    return int((first_id_of(fields) or entry_id).partition(b"-")[0]) / 1000


def first_id_of(fields: Fields) -> bytes | None:
    """Return the id that an entry had before it was a dead letter, None for others."""
    entry_id = fields.get(REPLAYED, b"")
    return entry_id if ENTRY_ID.fullmatch(entry_id) else None


def reason_of(stage: str, error: Exception) -> str:
    """Return the stage and the error of a failed entry in one line."""
    text = " ".join(str(error).split()).encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return f"{stage}: {type(error).__name__}: {text}"[:MAX_REASON]


def _content(fields: Fields) -> BehaviorEvent | Exposure:
    size = sum(len(name) + len(value) for name, value in fields.items())
    if size > MAX_ENTRY_BYTES:
        raise ValueError(f"an entry of {size} bytes, more than {MAX_ENTRY_BYTES}")
    return read_entry(fields)
