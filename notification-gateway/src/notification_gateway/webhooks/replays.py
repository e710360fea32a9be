"""Each hook is taken once, for as long as signals are kept."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from notification_gateway.storage import upsert
from notification_gateway.tables import hooks


class ReplayedError(Exception):
    """A hook with this signature was stored before: there is nothing left to do with it."""


def once(signature: str, now: datetime) -> Callable[[Connection], None]:
    """Return what, in the transaction that stores a hook, raises `ReplayedError` if it was stored before."""

    def remember(connection: Connection) -> None:
        row = upsert(connection, hooks).values(signature=signature, received_at=now).on_conflict_do_nothing()
        if not connection.execute(row).rowcount:
            raise ReplayedError

    return remember
