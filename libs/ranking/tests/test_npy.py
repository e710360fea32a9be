"""Arrays are read as NumPy writes them; what a header declares is compared with the file first."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ranking.npy import NpyError, read_array

ARRAYS = [
    np.arange(12, dtype=np.float32).reshape(3, 4),
    np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
    np.arange(5, dtype=np.int32),
    np.zeros((4, 0), np.int32),
    np.zeros((0,), np.float64),
    np.arange(3, dtype=np.int64)[::-1],
    np.array([True, False]),
    np.arange(6, dtype=np.uint8).reshape(1, 6),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype} {array.shape}")
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_what_numpy_writes_is_read_as_numpy_reads_it(
    tmp_path: Path, array: NDArray[np.generic], version: tuple[int, int]
) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, version=version, allow_pickle=False)
    read = read_array(path)
    np.testing.assert_array_equal(read, np.load(path))
    assert (read.dtype, read.flags.c_contiguous) == (array.dtype, np.load(path).flags.c_contiguous)


def _npy(header: bytes, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + data


GOOD = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        _npy(GOOD, bytes(7)),
        _npy(GOOD, bytes(9)),
        _npy(GOOD, bytes(8), version=b"\x03\x00"),
        _npy(GOOD.replace(b"(2,)", b"(999999999999999,)"), bytes(8)),
        _npy(GOOD.replace(b"(2,)", b"(-2,)"), bytes(8)),
        _npy(GOOD.replace(b"(2,)", b"(2, 1, 1)"), bytes(8)),
        _npy(GOOD.replace(b"(2,)", b"(len(open('/etc/passwd').read()),)"), bytes(8)),
        _npy(GOOD.replace(b"<f4", b"|O"), bytes(16)),
        _npy(GOOD.replace(b"<f4", b"<z9"), bytes(8)),
        _npy(GOOD.replace(b"<f4", b"|V0"), bytes(8)),
        _npy(b"(" * 9000, bytes(8)),
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f",
    ],
    ids=range(14),
)
def test_another_file_is_rejected_before_anything_is_allocated(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(NpyError):
        read_array(path)
