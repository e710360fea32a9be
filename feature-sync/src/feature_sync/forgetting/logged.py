"""The rows of a user in the logs of events and exposures."""

from base64 import b64encode
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Table, or_, select

from feature_sync.forgetting.calls import transaction

_PAGE = 1000

# The time and the id of a row.
Place = tuple[datetime, str]


class LoggedRows:
    """Reads a table with `ts`, `user_id` and an id first, page by page, in the order of the times."""

    def __init__(self, engine: Engine, table: Table) -> None:
        self._engine = engine
        self._table = table
        self._id = next(iter(table.c))

    def place_of(self, row: dict[str, Any]) -> Place:
        """Return the place of a row that `page` has returned."""
        return row["ts"], row[self._id.name]

    def page(self, user_id: int, after: Place | None) -> list[dict[str, Any]]:
        """Return the next rows after a place, none at the end; raises `ForgettingUnavailableError`."""
        rows = self._table.c
        columns = [column for column in rows if column is not rows.user_id]
        query = select(*columns).where(rows.user_id == user_id).order_by(rows.ts, self._id).limit(_PAGE)
        if after is not None:
            ts, id_ = after
            later = or_(rows.ts > ts, self._id > id_)
            query = query.where(rows.ts >= ts, later)
        with transaction(self._engine) as connection:
            # SQLAlchemy's names are of a class of its own, which is no key of JSON.
            names = [str(column.name) for column in columns]
            return [dict(zip(names, map(_plain, row), strict=True)) for row in connection.execute(query)]


def _plain(value: Any) -> Any:
    """Return a value of a row as JSON can hold it."""
    return b64encode(value).decode() if isinstance(value, bytes) else value
