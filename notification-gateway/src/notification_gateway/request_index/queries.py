"""Stores, finds and deletes requests of the index."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, delete, func, or_, select

from contracts.request_records import FiredPoint, RequestRecord
from notification_gateway.incidents.model import Incident, incident_key
from notification_gateway.incidents.queries import open_between
from notification_gateway.storage import Storage, upsert
from notification_gateway.tables import requests, requests_left_out
from notification_gateway.unreadable import report_row

INDEX_RETENTION = timedelta(days=7)
# About 500 MB. Past it, the oldest go.
MAX_REQUESTS = 2_000_000
# An id is the caller's own, and may have been used again and again.
MAX_FOUND = 20
# Rows of one transaction, so that no signal waits for long.
_DELETED_AT_ONCE = 5000
# The clocks of two machines, and a signal that comes after its request.
_CLOCKS_APART = timedelta(minutes=2)
_POINTS = TypeAdapter(list[FiredPoint])
_FIELDS = [column for column in requests.c if column.name in RequestRecord.model_fields]


def store_requests(connection: Connection, records: Sequence[RequestRecord]) -> None:
    """Store records; known ones stay as they are."""
    if records:
        connection.execute(
            upsert(connection, requests).on_conflict_do_nothing(), [record.model_dump() for record in records]
        )


def count_left_out(connection: Connection, service: str, count: int, now: datetime) -> None:
    """Add to the number of requests that a service has left out."""
    added = upsert(connection, requests_left_out).values(
        minute=now.replace(second=0, microsecond=0), service=service, requests=count
    )
    total = requests_left_out.c.requests + added.excluded.requests
    connection.execute(added.on_conflict_do_update(index_elements=["minute", "service"], set_={"requests": total}))


def find_requests(connection: Connection, request_id: str) -> list[RequestRecord]:
    """Return the last requests of an id, newest first: one for each service that recorded it, each time it was sent."""
    wanted = select(*_FIELDS).where(requests.c.request_id == request_id).order_by(requests.c.at.desc())
    found = []
    for row in connection.execute(wanted.limit(MAX_FOUND)).mappings():
        try:
            points = _POINTS.validate_python(row["points"])
            found.append(RequestRecord.model_validate({**row, "points": points}))
        except ValidationError as error:
            report_row(requests.name, request_id, error)
    return found


def incidents_of(connection: Connection, record: RequestRecord) -> list[Incident]:
    """Return the incidents of what a request reported that were open at its time, newest first."""
    keys = [incident_key(record.environment, record.service, point.fingerprint) for point in record.points]
    return open_between(connection, keys, record.at - _CLOCKS_APART, record.at + _CLOCKS_APART)


def left_out_since(connection: Connection, since: datetime) -> int:
    """Return how many requests were left out since a time."""
    total = select(func.sum(requests_left_out.c.requests)).where(requests_left_out.c.minute >= since)
    return int(connection.scalar(total) or 0)


def remove_old_requests(storage: Storage, now: datetime, most: int = MAX_REQUESTS) -> None:
    """Delete what is older than the retention, and all but the newest `most`."""
    before = now - INDEX_RETENTION
    with storage.transaction() as connection:
        connection.execute(delete(requests_left_out).where(requests_left_out.c.minute < before))
        newest = connection.scalar(select(func.max(requests.c.id))) or 0
    is_old = or_(requests.c.at < before, requests.c.id <= newest - most)
    some = select(requests.c.id).where(is_old).limit(_DELETED_AT_ONCE)
    deleted = _DELETED_AT_ONCE
    while deleted == _DELETED_AT_ONCE:
        with storage.transaction() as connection:
            deleted = connection.execute(delete(requests).where(requests.c.id.in_(some))).rowcount
