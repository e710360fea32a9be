"""Ranks the requests of one turn of the event loop one right after another.

Ranking and the interpreter evict each other from the processor's caches; one after another, the rankings share them.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from ranking.engine import FusedResult

# So few that the first request does not wait noticeably for the last one.
MAX_PER_TURN = 8

_Rank = Callable[[], FusedResult | None]


class RankingBatcher:
    """Collects the rankings that one turn of the event loop asks for."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[_Rank, asyncio.Future[FusedResult | None]]] = deque()

    def rank(self, rank: _Rank) -> asyncio.Future[FusedResult | None]:
        """Call `rank` soon; the future gets its result or its exception."""
        loop = asyncio.get_running_loop()
        ranked: asyncio.Future[FusedResult | None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._rank_waiting)
        self._waiting.append((rank, ranked))
        return ranked

    def _rank_waiting(self) -> None:
        for _ in range(min(MAX_PER_TURN, len(self._waiting))):
            rank, ranked = self._waiting.popleft()
            if ranked.done():  # the request ran out of time
                continue
            try:
                ranked.set_result(rank())
            except Exception as error:  # noqa: BLE001 - the request that asked gets it
                ranked.set_exception(error)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._rank_waiting)
