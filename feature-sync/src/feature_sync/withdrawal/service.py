"""Withdrawing a dataset and taking that back: the table first, then Redis."""

from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from feature_sync.withdrawal.publisher import WithdrawnPublisher
from feature_sync.withdrawal.table import Source, WithdrawnRow, WithdrawnTable, now


class Withdrawn(NamedTuple):
    """What became of a withdrawal: its row, whether it is new, and whether Redis holds it already."""

    row: WithdrawnRow
    is_new: bool
    is_published: bool


class Withdrawals:
    """Every call raises `WithdrawalsUnavailableError`; with Redis away it succeeds, and Redis follows later."""

    def __init__(self, table: WithdrawnTable, publisher: WithdrawnPublisher) -> None:
        self._table = table
        self._publisher = publisher

    async def withdraw(self, dataset_id: int, external_id: str | None, reason: str | None) -> Withdrawn:
        """Take a dataset out of all answers; doing so again changes nothing but the reason."""
        row, is_new = await run_in_threadpool(
            self._table.withdraw, dataset_id, external_id=external_id, reason=reason, at=now()
        )
        return Withdrawn(row, is_new, await self._publisher.try_publish())

    async def restore(self, dataset_id: int) -> None:
        """Let answers show it again, whether it was withdrawn or not; raises `DeletedInDatabaseError`."""
        if await run_in_threadpool(self._table.restore, dataset_id):
            await self._publisher.try_publish()

    async def rows(self, *, limit: int, offset: int) -> list[WithdrawnRow]:
        """Return the latest withdrawals first."""
        return await run_in_threadpool(self._table.rows, limit=limit, offset=offset)

    async def count(self) -> dict[Source, int]:
        """Return how many each source has."""
        return await run_in_threadpool(self._table.count)
