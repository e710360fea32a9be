"""Reads `.npy` files of a stranger: the header is checked against the file before anything is allocated.

NumPy's own reader evaluates the header as a Python literal and allocates what it declares. Source: NumPy, "NPY format".
"""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"\x93NUMPY"
# The length of the header's length, by version.
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4}
_MAX_HEADER_BYTES = 10_000
# As NumPy writes it.
_HEADER = re.compile(
    rb"\{'descr': '([<|][a-z][0-9]{1,3})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,18}, ?)*(?:[0-9]{1,18})?)\),? \} *\n"
)


class NpyError(ValueError):
    """The file is not a plain array of its header's size; the message says what is wrong."""


def read_array(path: Path) -> NDArray[Any]:
    """Read an array of numbers; raises `NpyError` and `OSError`."""
    with path.open("rb") as file:
        dtype, shape, is_fortran = _parse_header(_read_header(file))
        count = math.prod(shape)
        expected, size = file.tell() + count * dtype.itemsize, path.stat().st_size
        if size != expected:
            raise NpyError(f"{size} bytes, but an array of {dtype} {shape} has {expected}")
        values = np.fromfile(file, dtype, count)
    return values.reshape(shape[::-1]).T if is_fortran else values.reshape(shape)


def _read_header(file: Any) -> bytes:
    start = file.read(len(_MAGIC) + 2)
    width = _LENGTH_BYTES.get(start[len(_MAGIC) :])
    if not start.startswith(_MAGIC) or width is None:
        raise NpyError("not a NumPy array of version 1 or 2")
    length = int.from_bytes(file.read(width), "little")
    if length > _MAX_HEADER_BYTES:
        raise NpyError(f"a header of {length} bytes; the maximum is {_MAX_HEADER_BYTES}")
    header: bytes = file.read(length)
    return header


def _parse_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    found = _HEADER.fullmatch(header)
    if found is None:
        raise NpyError("a header that NumPy does not write for an array of numbers")
    try:
        dtype = np.dtype(found[1].decode())
    except TypeError as error:
        raise NpyError(f"the type {found[1].decode()} is unknown") from error
    if dtype.hasobject or not dtype.itemsize:
        raise NpyError(f"the type {dtype} is not a number's")
    shape = tuple(int(length) for length in found[3].split(b",") if length.strip())
    if len(shape) > 2:
        raise NpyError(f"{len(shape)} dimensions; the maximum is 2")
    return dtype, shape, found[2] == b"True"
