"""What happens with time alone: the policy file, quiet incidents, ended periods, old rows."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

_log = logging.getLogger(__name__)
TICK_SECONDS = 1.0


@dataclass
class Chore:
    """Something done every so often; `run` may block."""

    run: Callable[[], object]
    every: timedelta
    due: datetime | None = None


class Upkeep:
    """Runs chores one after the other; one that the database fails is tried again at its next turn."""

    def __init__(self, chores: list[Chore], clock: Callable[[], datetime]) -> None:
        self._chores = chores
        self._clock = clock

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.to_thread(self.run_due)
            await asyncio.sleep(TICK_SECONDS)

    def run_due(self) -> None:
        """Run what is due."""
        for chore in self._chores:
            now = self._clock()
            if chore.due is not None and now < chore.due:
                continue
            chore.due = now + chore.every
            try:
                chore.run()
            except SQLAlchemyError:
                _log.exception("upkeep failed; it is tried again in %s", chore.every)
