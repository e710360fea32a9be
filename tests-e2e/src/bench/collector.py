"""A faulty collector in a process of its own: in the load generator's process it would delay the load."""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from testkit.fake_server import FakeServer

START_SECONDS = 60.0


class Collector:
    """The addresses of the collector, and its control connection."""

    def __init__(self, orders: Connection, dsn: str, url: str) -> None:
        self.dsn = dsn
        self.url = url
        self._orders = orders

    def answer(self, mode: str) -> None:
        """Answer in one of the modes of `FakeServer` from now on."""
        self._orders.send(mode)


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector, which is healthy at first."""
    context = multiprocessing.get_context("spawn")
    orders, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        if not orders.poll(START_SECONDS):
            raise TimeoutError(f"the collector did not start within {START_SECONDS:.0f} s")
        yield Collector(orders, *orders.recv())
    finally:
        orders.close()
        process.join(START_SECONDS)


def _serve(orders: Connection) -> None:
    # On the core of the load, with a lower priority.
    os.nice(19)
    receiver = FakeServer()
    receiver.start()
    orders.send((receiver.dsn, receiver.url))
    try:
        while True:
            receiver.mode = orders.recv()
    except EOFError:
        receiver.stop()
