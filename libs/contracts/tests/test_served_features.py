"""Vectors come back bit for bit, and bytes of another format are errors."""

import numpy as np
import pytest

from contracts.served_features import MAX_UNPACKED_BYTES, MalformedVectorsError, ServedVectors


def _vectors(rows: int = 5, columns: int = 46) -> ServedVectors:
    rng = np.random.default_rng(rows)
    matrix = rng.random((columns, rows + 3), np.float32)[:, :rows].T
    matrix[:1, 0] = np.float32("nan")
    return ServedVectors(
        np.arange(rows, dtype=np.int32),
        matrix,
        np.array([3, 1], np.int32),
        np.array([0.5, 0.25], np.float32),
        np.array([9], np.int32),
        b"L1-history",
    )


def test_vectors_come_back_bit_for_bit() -> None:
    for given in (_vectors(), _vectors(0)):
        found = ServedVectors.unpack(given.pack())
        assert found.live == given.live
        for one, other in zip(found[:-1], given[:-1], strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            assert np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


def test_bytes_of_another_format_are_errors() -> None:
    packed = _vectors().pack()
    broken = [b"", b"S1", b"X" + packed[1:], packed[:-8], packed[:40] + b"\xff" * 20, packed[:22]]
    # A head that promises more than is there, and one that promises too much.
    broken += [packed[:2] + b"\x06" + packed[3:], packed[:2] + b"\xff" * 20 + packed[22:]]
    for data in broken:
        with pytest.raises(MalformedVectorsError):
            ServedVectors.unpack(data)
    assert MAX_UNPACKED_BYTES > 230 * 64 * 4
