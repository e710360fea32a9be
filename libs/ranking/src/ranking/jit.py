"""Compiling the loops that every question runs: by Numba, whose wheel brings its compiler to machines without one."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

import contracts

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile at the first call, for this CPU; the code is kept on disk, beside the source or where Numba may write."""
    try:
        fast: Any = numba.njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # no folder can be written: each process compiles for itself
        fast = numba.njit(function, nogil=True, error_model="numpy")
    else:
        # Numba looks whether the function's own file has changed; code of others, and constants, have gone into it.
        fast._cache._cache_file._source_stamp = _stamp()  # noqa: SLF001 - there is no other way to tell it
    kept: F = fast
    return kept


@cache
def _stamp() -> str:
    """Return what changes with any source that compiled code is made of."""
    digest = hashlib.sha256()
    for package in (__file__, str(contracts.__file__)):
        for source in sorted(Path(package).parent.rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()
