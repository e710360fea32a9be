"""Returns unused memory to the system, so that a replaced model doesn't stay in the process's memory."""

import ctypes

import pyarrow as pa

# A large model's tables are ten times as large as the largest array of an answer.
LARGE_BYTES = 4 * 2**20
# Free memory that answers reuse.
KEPT_BYTES = 64 * 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def configure_malloc() -> None:
    """Make glibc allocate large blocks directly from the system, and return them when they are freed.

    By default it stops doing so after the first large block was freed. The next model then lies between small objects,
    and its memory stays with the process. Arrow's own allocator would keep as much again as a catalogue needs.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def trim_heap() -> None:
    """Return to the system the memory that loading a model and dropping the previous one have freed."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
