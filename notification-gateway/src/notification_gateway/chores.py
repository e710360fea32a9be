"""Chores: blocking functions that background loops run periodically in a thread."""

import asyncio
from collections.abc import Callable
from functools import partial

from servicekit.background import BackgroundLoops


def add_chore(loops: BackgroundLoops, name: str, run: Callable[[], object], seconds: float) -> None:
    """Add a loop that runs a chore, then waits `seconds`."""
    loops.add(name, partial(asyncio.to_thread, run), interval=seconds)
