"""Rejects replayed hooks, within the retention of signals."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from notification_gateway.storage import upsert
from notification_gateway.tables import hooks


class ReplayedError(Exception):
    """A hook with this signature was stored before: nothing needs to be done."""


def reject_replay(signature: str, now: datetime) -> Callable[[Connection], None]:
    """Return a check for the transaction that stores a hook; raises `ReplayedError` if it was stored before."""

    def store_signature(connection: Connection) -> None:
        row = upsert(connection, hooks).values(signature=signature, received_at=now).on_conflict_do_nothing()
        if not connection.execute(row).rowcount:
            raise ReplayedError

    return store_signature
