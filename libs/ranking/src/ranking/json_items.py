"""The JSON of an answer's items, joined in compiled code from prepared parts and scores."""

from collections.abc import Sequence
from mmap import mmap

import numpy as np
from numpy.typing import NDArray

from ranking.jit import compiled

# The maximum length of a score: "0.", zeros, and the nine digits that a float32 of SMALLEST may need.
LONGEST = 2 + 4 + 9
# Smaller scores are written with an exponent.
SMALLEST = np.float32(1e-4)
_NOUGHT, _POINT, _OPEN, _CLOSE = b"0.[]"


class BytesTable:
    """Texts by number, end to end in one array; a number of the `count` numbers that was not set has an empty text.

    `room` bytes are reserved, and take no memory before they are written. A larger text table has to be copied to a
    larger array, which takes the caller 1 ms per MB.
    """

    def __init__(self, count: int, room: int = 4096) -> None:
        # In small pages from the system: numpy would allocate huge pages of 2 MB.
        self._text: NDArray[np.uint8] = np.frombuffer(mmap(-1, room), np.uint8)
        self._used = 0
        # Begin and end of each text.
        self._places = np.zeros((count, 2), np.int64)

    @property
    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The text and the places, as compiled code takes them."""
        return self._text, self._places

    def texts(self, numbers: Sequence[int] | NDArray[np.integer]) -> list[bytes]:
        """Return the texts of these numbers."""
        view = self._text.data
        return [view[begin:end].tobytes() for begin, end in self._places[numbers].tolist()]

    def __setitem__(self, number: int, text: bytes) -> None:
        begin, end = self._used, self._used + len(text)
        if end > len(self._text):
            larger = np.empty(2 * end, np.uint8)
            larger[:begin] = self._text[:begin]
            self._text = larger
        self._text[begin:end] = np.frombuffer(text, np.uint8)
        self._places[number] = begin, end
        self._used = end


def json_items(
    positions: NDArray[np.int32],
    codes: NDArray[np.int64],
    scores: NDArray[np.float32],
    before: BytesTable,
    behind: BytesTable,
) -> bytes | None:
    """Return a JSON array. Each item is the text before the score of its position, the score, and the text after it.

    The text before a score begins with the comma that separates the items. All arrays have the same length. Return None
    if a position has no text yet, or a score is neither 0 nor in `SMALLEST`..1.
    """
    written = _write_items(positions, codes, scores, before.arrays, behind.arrays)
    return written.tobytes() if len(written) else None


def compile_json_items() -> None:
    """Compile now, so that the first answer doesn't wait for the compiler."""
    json_items(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32), BytesTable(0), BytesTable(0))


@compiled
def _write_items(
    positions: NDArray[np.int32],
    codes: NDArray[np.int64],
    scores: NDArray[np.float32],
    before: tuple[NDArray[np.uint8], NDArray[np.int64]],
    behind: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> NDArray[np.uint8]:
    before_text, before_places = before
    behind_text, behind_places = behind
    size = 2
    for row in range(len(positions)):
        begin, end = before_places[positions[row], 0], before_places[positions[row], 1]
        if begin == end or not (scores[row] == 0.0 or SMALLEST <= scores[row] <= 1.0):
            return np.empty(0, np.uint8)
        size += end - begin + LONGEST
        begin, end = behind_places[codes[row], 0], behind_places[codes[row], 1]
        size += end - begin
    text = np.empty(size, np.uint8)
    at = 0
    for row in range(len(positions)):
        begin, end = before_places[positions[row], 0], before_places[positions[row], 1]
        text[at : at + end - begin] = before_text[begin:end]
        at = _write_score(text, at + end - begin, scores[row])
        begin, end = behind_places[codes[row], 0], behind_places[codes[row], 1]
        text[at : at + end - begin] = behind_text[begin:end]
        at += end - begin
    at = max(at, 1)
    text[0] = _OPEN
    text[at] = _CLOSE
    return text[: at + 1]


@compiled
def _write_score(text: NDArray[np.uint8], at: int, score: float) -> int:
    """Write the shortest decimal number that is read as this float32, and return its end."""
    scale, digits, decimals = 1.0, 0, 0
    while decimals == 0 or np.float32(digits / scale) != score:
        scale *= 10.0
        decimals += 1
        digits = int(np.rint(np.float64(score) * scale))
    end = at + 2 + decimals
    for place in range(end - 1, at + 1, -1):
        text[place] = _NOUGHT + digits % 10
        digits //= 10
    text[at] = _NOUGHT + digits
    text[at + 1] = _POINT
    return end
