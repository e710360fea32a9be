"""How the gateway's database is, for `GET /health`."""

from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from notification_gateway.outbox import queries as outbox
from notification_gateway.storage import Storage
from servicekit.health import Check

# Past this, messages are not getting out.
OVERDUE = timedelta(minutes=2)


def check_database(storage: Storage, now: datetime) -> Check:
    """Return the check `database`: it answers, and no due message has waited for two minutes."""
    try:
        with storage.read() as connection:
            oldest = outbox.oldest_due(connection, now)
    except SQLAlchemyError as error:
        return Check(status="unhealthy", detail=type(error).__name__)
    if oldest is not None and now - oldest > OVERDUE:
        return Check(status="degraded", detail=f"a message has waited since {oldest.isoformat(timespec='seconds')}")
    return Check(status="healthy")
