"""Compiles the loops of every query with Numba, whose wheel contains its own compiler."""

# mypy: disable-error-code="no-untyped-call"

import hashlib
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

import contracts
from ranking.cpus import host

F = TypeVar("F", bound=Callable[..., Any])
# A NamedTuple as a plain tuple: what Python passes to compiled code, which makes a NamedTuple of it again. Numba finds
# the type of a plain tuple in C, but that of a NamedTuple in Python: 7 µs more for those of one query.
Fields = tuple[Any, ...]

# NUMBA_CPU_NAME takes precedence.
_config: Any = config
if _config.CPU_NAME is None and (cpu := host()) is not None:
    _config.CPU_NAME, _config.CPU_FEATURES = cpu


def compiled(function: F) -> F:
    """Compile at the first call, for this CPU level; Numba caches the code beside the source or elsewhere."""
    try:
        fast: Any = numba.njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # no folder is writable: each process compiles for itself
        fast = numba.njit(function, nogil=True, error_model="numpy")
    else:
        # Numba only checks whether the function's own file has changed, but code of other files and constants is
        # compiled in too.
        fast._cache._cache_file._source_stamp = _stamp(function.__code__.co_filename)  # noqa: SLF001 - Numba has no public way to set it
    kept: F = fast
    return kept


@cache
def _stamp(own: str) -> str:
    """Return a stamp that changes with the function's own file and with every source file of compiled code."""
    return hashlib.sha256(_shared_sources() + Path(own).read_bytes()).hexdigest()


@cache
def _shared_sources() -> bytes:
    digest = hashlib.sha256()
    for package in (__file__, str(contracts.__file__)):
        for source in sorted(Path(package).parent.rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.digest()


def _seconds(_typing: Any) -> Any:
    """Return the time (s) of a monotonic clock, in compiled code."""

    def codegen(_context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        whole, clock = ir.IntType(64), ir.IntType(32)
        reading = cgutils.alloca_once(builder, whole, 2)
        kind = ir.FunctionType(clock, [clock, whole.as_pointer()])
        read = cgutils.get_or_insert_function(builder.module, kind, "clock_gettime")
        builder.call(read, [ir.Constant(clock, time.CLOCK_MONOTONIC), reading])
        both = [builder.load(builder.gep(reading, [ir.Constant(clock, part)])) for part in (0, 1)]
        now, part = (builder.sitofp(each, ir.DoubleType()) for each in both)
        return builder.fadd(now, builder.fmul(part, ir.Constant(ir.DoubleType(), 1e-9)))

    return types.float64(), codegen


seconds = cast("Callable[[], float]", intrinsic(_seconds))
