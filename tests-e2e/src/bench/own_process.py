"""A process that asks and does nothing else.

What else a benchmark does, a proxy, a registry or a garbage collection, would hold up the questions, and look like a
slow server.
"""

import gc
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def own_process(prepare: Callable[[], object] | None = None) -> Iterator[ProcessPoolExecutor]:
    """Run one, to which calls are submitted; it calls `prepare` first."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (prepare,)) as process:
        process.submit(gc.get_freeze_count).result()
        yield process


def _begin(prepare: Callable[[], object] | None) -> None:
    # Going through all that has been imported takes the garbage collector a tenth of a second.
    gc.collect()
    gc.freeze()
    if prepare is not None:
        prepare()
