"""The steps of `ranking.lanes` as loops that Numba compiles, in the place of those that are written for LLVM."""

import numpy as np

from ranking.jit import compiled

LANES, WORDS = 16, 4


@compiled
def zero_nan_and_find_range(column, start, stop):  # type: ignore[no-untyped-def]  # as the step that it stands for
    """Make NaN 0; return the least and the greatest."""
    least, greatest = np.float32(np.inf), np.float32(-np.inf)
    for at in range(start, stop):
        if np.isnan(column[at]):
            column[at] = np.float32(0)
        least = min(least, column[at])
        greatest = max(greatest, column[at])
    return least, greatest


@compiled
def set_bits_above(column, start, threshold, out, place):  # type: ignore[no-untyped-def]
    """Set out[place] to the bits of the rows that are > threshold."""
    bits = np.uint16(0)
    for lane in range(LANES):
        bits |= np.uint16(column[start + lane] > threshold) << np.uint16(lane)
    out[place] = bits


@compiled
def split_rows(reach, node, tests, split):  # type: ignore[no-untyped-def]
    """Send the rows that reach a node on."""
    for word in range(WORDS):
        rows, goes_right = reach[np.int64(node) * WORDS + word], tests[np.int64(split.test) * WORDS + word]
        reach[np.int64(split.left) * WORDS + word] = rows & ~goes_right
        reach[np.int64(split.right) * WORDS + word] = rows & goes_right


@compiled
def number_leaves(reach, first, count, out, place):  # type: ignore[no-untyped-def]
    """Set out[place:][:ROWS] to the number of the group that holds each row's bit."""
    for word in range(WORDS):
        numbers = out[place + 64 * word : place + 64 * (word + 1)]
        numbers[:] = 0
        for group in range(count):
            rows = reach[(first + group) * WORDS + word]
            # Without a branch, so that LLVM takes many bits at once.
            for bit in range(64):
                numbers[bit] |= np.uint8(group) * np.uint8(rows >> np.uint64(bit) & np.uint64(1))


@compiled
def four_sums(left, start, right, other, count):  # type: ignore[no-untyped-def]
    """Return the sums of every fourth product."""
    a, b = left.reshape(-1), right.reshape(-1)
    first = second = third = fourth = np.float32(0)
    for at in range(0, count, 4):
        first += a[start + at] * b[other + at]
        second += a[start + at + 1] * b[other + at + 1]
        third += a[start + at + 2] * b[other + at + 2]
        fourth += a[start + at + 3] * b[other + at + 3]
    return first, second, third, fourth
