"""Adds events to a packed live history, without arrays: a history has 50 entries at most.

The result is that of `LiveHistory.append`, for a fifth of its time; a test compares both.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from contracts.user_blob import MAX_LIVE, MAX_SECONDS, MAX_SEQUENCE, LiveHistory, MalformedBlobError, PackedHistory

_HEAD = struct.Struct("<2sQH")


class Interaction(NamedTuple):
    """An entry of a history: dataset, Unix time, `InteractionType`."""

    dataset: int
    ts: int
    kind: int


def add_interactions(blob: bytes, interactions: Iterable[Interaction], now: int) -> tuple[bytes, int]:
    """Return the new history and how many interactions it didn't contain; the old one if nothing changes.

    A blob of another format counts as empty. A later time than `now` is that of a fast clock, and is corrected. Raises
    `OverflowError` for a time that an entry has no room for.
    """
    try:
        sequence, packed = LiveHistory.opened(blob)
    except MalformedBlobError:
        sequence, packed = 0, PackedHistory()
    ids, times, kinds = _columns(packed)
    entries = dict(zip(ids, zip((min(ts, now) for ts in times), kinds, strict=True), strict=True))
    before = list(entries.items())
    new = 0
    for dataset, ts, kind in interactions:
        if not 0 <= ts <= MAX_SECONDS:
            raise OverflowError("the time of an interaction lies outside of 1970 to 2106")
        known = entries.get(dataset)
        if known is None:
            entries[dataset] = (ts, kind)
        elif ts > known[0] or kind > known[1]:
            entries[dataset] = (max(ts, known[0]), max(kind, known[1]))
        else:
            continue
        new += 1
    after = sorted(entries.items(), key=lambda entry: (-entry[1][0], entry[0]))[:MAX_LIVE]
    if not new or after == before:
        return blob, 0
    # A cached answer is current if it has the same sequence: 0 may follow on the last one that has room.
    return _pack((sequence + 1) & MAX_SEQUENCE, after), new


def remove_before(blob: bytes, moment: int) -> tuple[bytes, int]:
    """Return the history without what happened before a Unix time, empty if nothing is left, and the number removed.

    Raises `MalformedBlobError`.
    """
    sequence, packed = LiveHistory.opened(blob)
    ids, times, kinds = _columns(packed)
    entries = list(zip(ids, zip(times, kinds, strict=True), strict=True))
    left = [entry for entry in entries if entry[1][0] >= moment]
    if not left or left == entries:
        return blob if left else b"", len(entries) - len(left)
    return _pack((sequence + 1) & MAX_SEQUENCE, left), len(entries) - len(left)


def _columns(packed: PackedHistory) -> tuple[tuple[int, ...], tuple[int, ...], bytes]:
    data, start, count = packed
    return (
        struct.unpack_from(f"<{count}q", data, start),
        struct.unpack_from(f"<{count}I", data, start + count * 8),
        data[start + count * 12 :],
    )


def _pack(sequence: int, entries: list[tuple[int, tuple[int, int]]]) -> bytes:
    count = len(entries)
    return _HEAD.pack(b"L1", sequence, count) + struct.pack(
        f"<{count}q{count}I{count}B",
        *(dataset for dataset, _ in entries),
        *(ts for _, (ts, _) in entries),
        *(kind for _, (_, kind) in entries),
    )
