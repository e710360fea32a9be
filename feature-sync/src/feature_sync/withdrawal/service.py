"""Withdraws and restores datasets: first in the table, then in Redis."""

from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from feature_sync.withdrawal.publisher import WithdrawnPublisher
from feature_sync.withdrawal.table import Source, WithdrawnRow, WithdrawnTable, now


class Withdrawn(NamedTuple):
    """The result of a withdrawal: its row, whether it is new, and whether Redis already has it."""

    row: WithdrawnRow
    is_new: bool
    is_published: bool


class Withdrawals:
    """Every call raises `WithdrawalsUnavailableError`; without Redis it succeeds, and Redis follows later."""

    def __init__(self, table: WithdrawnTable, publisher: WithdrawnPublisher) -> None:
        self._table = table
        self._publisher = publisher

    async def withdraw(self, dataset_id: int, external_id: str | None, reason: str | None) -> Withdrawn:
        """Withdraw a dataset from all answers; repeating it only changes the reason."""
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
        """Return the number of withdrawals of each source."""
        return await run_in_threadpool(self._table.count)
