"""Compiling the loops that every question runs: by Numba, whose wheel brings its compiler to machines without one."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile at the first call, for this CPU; the code is kept on disk, beside the source or where Numba may write."""
    try:
        fast: F = numba.njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # no folder can be written: each process compiles for itself
        fast = numba.njit(function, nogil=True, error_model="numpy")
    return fast
