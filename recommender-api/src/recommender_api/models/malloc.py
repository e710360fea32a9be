"""What the process keeps of the memory that it no longer uses: nothing of a model that has gone."""

import ctypes

import pyarrow as pa

# The tables of a large model are ten times as large as the largest array of an answer.
LARGE_BYTES = 4 * 2**20
# Free memory that answers use again and again.
KEPT_BYTES = 64 * 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def configure_malloc() -> None:
    """Have glibc's allocator get what is large from the system by itself, and give it back when it is free.

    By default it stops doing so once something large has been freed; then the next model lies among small things, and
    its place stays with the process when it goes. Arrow's own allocator keeps as much again as a catalogue takes.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def trim_heap() -> None:
    """Return to the system what reading a model has used and left, and what the one before it has."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
