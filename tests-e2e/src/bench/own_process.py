"""A process that only sends requests.

Other work of a benchmark (a proxy, a registry, garbage collection) would delay the requests and look like a slow
server.
"""

import gc
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def own_process(prepare: Callable[[], object] | None = None) -> Iterator[ProcessPoolExecutor]:
    """Start one, to which calls are submitted; it calls `prepare` first."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (prepare,)) as process:
        process.submit(gc.get_freeze_count).result()
        yield process


def _begin(prepare: Callable[[], object] | None) -> None:
    # Scanning all imported objects takes the garbage collector a tenth of a second.
    gc.collect()
    gc.freeze()
    if prepare is not None:
        prepare()
