"""Ranking what is asked at the same time one right after another.

A question's code and tables fill the processor's caches, and so does what comes before and after it: in turns, each
finds what the other has left. A tenth of a ranked answer's time went into that.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from ranking.engine import FusedResult

# So few that the first of them does not wait for the last longer than its caller notices.
MOST = 8

_Rank = Callable[[], FusedResult | None]


class RankingBatcher:
    """Collects the questions of one turn of the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[_Rank, asyncio.Future[FusedResult | None]]] = deque()

    def rank(self, rank: _Rank) -> asyncio.Future[FusedResult | None]:
        """Return what will have the result or the exception; the result is None if it takes steps."""
        loop = asyncio.get_running_loop()
        ranked: asyncio.Future[FusedResult | None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._next)
        self._waiting.append((rank, ranked))
        return ranked

    def _next(self) -> None:
        for _ in range(min(MOST, len(self._waiting))):
            rank, ranked = self._waiting.popleft()
            if ranked.done():  # its caller has given up
                continue
            try:
                ranked.set_result(rank())
            except Exception as error:  # noqa: BLE001 - its caller gets it
                ranked.set_exception(error)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
