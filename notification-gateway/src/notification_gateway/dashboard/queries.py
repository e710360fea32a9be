"""Queries of the gateway's own database for the page; the environment `verify` is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import ColumnElement, Connection, func, select

from contracts.signals import AlertSignal
from notification_gateway.incidents.model import VERIFY, Incident, incident_key
from notification_gateway.incidents.queries import newest_by_key, of_row
from notification_gateway.stored import texts_of
from notification_gateway.tables import incidents, notifications, occurrence_minutes, signals
from notification_gateway.unreadable import report_row

# With the longest texts a page of these stays below 100 kB.
INCIDENTS_SHOWN = 20
DELIVERIES_SHOWN = 20
# On a tab with other panels.
FAILURES_SHOWN = 10
TOP = 10
_TOP_PARTS, _TOP_STEP = 12, timedelta(minutes=5)
UNREADABLE = "the stored message can't be read"
_Model = TypeVar("_Model", bound=BaseModel)
_REAL = incidents.c.environment != VERIFY
_ERRORS = ("error", "fatal")


@dataclass(frozen=True)
class Frequent:
    """A fingerprint and its number of occurrences: in all, and in each part of the time, oldest first.

    `incident_id` is its newest incident.
    """

    fingerprint: tuple[str, ...]
    service: str
    level: str
    occurrences: int
    by_time: Sequence[int]
    incident_id: int | None


@dataclass(frozen=True)
class Finding:
    """The last result of one data check."""

    check: str
    value: str
    threshold: str
    severity: str
    message: str
    at: datetime


def incidents_of(connection: Connection, state: str, limit: int = INCIDENTS_SHOWN) -> list[Incident]:
    """Return incidents of a state: open ones most urgent first, resolved ones newest first."""
    order = (incidents.c.priority, incidents.c.id.desc()) if state == "open" else (incidents.c.resolved_at.desc(),)
    return _incidents(connection, incidents.c.state == state, order, limit)


def count_open(connection: Connection) -> dict[str, int]:
    """Return the number of open incidents by priority."""
    statement = select(incidents.c.priority, func.count()).where(incidents.c.state == "open", _REAL)
    return {
        str(priority): int(count) for priority, count in connection.execute(statement.group_by(incidents.c.priority))
    }


def count_in(connection: Connection, categories: Sequence[str], since: datetime) -> int:
    """Return the number of incidents of some categories since a time."""
    return connection.scalar(select(func.count()).where(_of_categories(categories, since), _REAL)) or 0


def incidents_in(connection: Connection, categories: Sequence[str], since: datetime) -> list[Incident]:
    """Return the incidents of some categories since a time, newest first."""
    return _incidents(connection, _of_categories(categories, since), (incidents.c.last_seen.desc(),), FAILURES_SHOWN)


def deliveries(connection: Connection) -> Sequence[Mapping[str, Any]]:
    """Return the newest notifications, each with the title of its message."""
    statement = select(notifications).where(notifications.c.state != "suppressed")
    rows = connection.execute(statement.order_by(notifications.c.id.desc()).limit(DELIVERIES_SHOWN)).mappings()
    return [{**row, "title": _title(row["notice"])} for row in rows]


def occurrences_over_time(
    connection: Connection, now: datetime, step: timedelta, parts: int, category: str | None = None
) -> tuple[list[float], Mapping[str, list[int]]]:
    """Return the starts of the last `parts` steps (Unix seconds) and the occurrences in each, by level."""
    seconds = step.total_seconds()
    last = now.timestamp() // seconds * seconds
    starts = [last - seconds * number for number in reversed(range(parts))]
    statement = select(
        occurrence_minutes.c.minute, occurrence_minutes.c.level, func.sum(occurrence_minutes.c.occurrences)
    ).where(
        occurrence_minutes.c.minute >= datetime.fromtimestamp(starts[0], tz=now.tzinfo),
        occurrence_minutes.c.environment != VERIFY,
    )
    if category is not None:
        statement = statement.where(occurrence_minutes.c.category == category)
    counts: dict[str, list[int]] = {"error": [0] * parts, "warning": [0] * parts}
    for minute, level, count in connection.execute(
        statement.group_by(occurrence_minutes.c.minute, occurrence_minutes.c.level)
    ):
        name = "error" if level in _ERRORS else level
        if name in counts:
            place = min(int((minute.timestamp() - starts[0]) // seconds), parts - 1)
            counts[name][place] += int(count)
    return starts, counts


def most_frequent(connection: Connection, now: datetime) -> list[Frequent]:
    """Return the fingerprints that occurred most in the last hour."""
    since = now - _TOP_STEP * _TOP_PARTS
    counts = occurrence_minutes.c
    recent = (counts.minute > since) & (counts.environment != VERIFY) & counts.level.in_((*_ERRORS, "warning"))
    total = func.sum(counts.occurrences)
    # Counted by the database: of thousands of fingerprints only the first are read.
    ranked = select(counts.subject).where(recent).group_by(counts.subject).order_by(total.desc(), counts.subject)
    first = connection.scalars(ranked.limit(TOP)).all()
    rows = connection.execute(select(occurrence_minutes).where(recent, counts.subject.in_(first)))
    counted: dict[tuple[tuple[str, ...], str, str], list[int]] = {}
    keys: dict[tuple[tuple[str, ...], str, str], str] = {}
    for row in rows:
        subject = (tuple(texts_of(row.fingerprint)), row.service, row.level)
        part = min(int((row.minute - since) / _TOP_STEP), _TOP_PARTS - 1)
        counted.setdefault(subject, [0] * _TOP_PARTS)[part] += row.occurrences
        keys[subject] = incident_key(row.environment, row.service, subject[0])
    top = sorted(counted, key=lambda subject: sum(counted[subject]), reverse=True)[:TOP]
    newest = newest_by_key(connection, [keys[subject] for subject in top])
    return [
        Frequent(
            *subject,
            sum(counted[subject]),
            counted[subject],
            newest[keys[subject]].id if keys[subject] in newest else None,
        )
        for subject in top
    ]


def last_findings(connection: Connection, since: datetime) -> list[Finding]:
    """Return the last result of each data check, the newest first."""
    rows = connection.execute(
        select(signals.c.signal_id, signals.c.body)
        .join(incidents, incidents.c.id == signals.c.incident_id)
        .where(_REAL, incidents.c.category == "data_quality", signals.c.received_at > since)
        .order_by(signals.c.received_at.desc())
        .limit(500)
    )
    by_check: dict[str, Finding] = {}
    for row in rows:
        signal = _read(AlertSignal, signals.name, row.signal_id, row.body)
        if signal is None:
            continue
        check = signal.tags.get("check_name") or signal.fingerprint[-1]
        if check not in by_check or signal.last_seen > by_check[check].at:
            by_check[check] = _finding(check, signal)
    return list(by_check.values())


def _of_categories(categories: Sequence[str], since: datetime) -> ColumnElement[bool]:
    return incidents.c.category.in_(categories) & (incidents.c.last_seen > since)


def _read(model: type[_Model], table: str, row_id: int | str, value: Any) -> _Model | None:
    """Return the content of a row, or None if it can't be read, so that one row doesn't break the page."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        report_row(table, row_id, error)
        return None


def _title(notice: Any) -> str:
    title = notice.get("title") if isinstance(notice, dict) else None
    return title if isinstance(title, str) else UNREADABLE


def _finding(check: str, signal: AlertSignal) -> Finding:
    tags = signal.tags
    return Finding(
        check=check,
        value=tags.get("metric_value", ""),
        threshold=tags.get("threshold", ""),
        severity=tags.get("severity", signal.level),
        message=signal.message,
        at=signal.last_seen,
    )


def _incidents(connection: Connection, wanted: ColumnElement[bool], order: Sequence[Any], limit: int) -> list[Incident]:
    rows = connection.execute(select(incidents).where(wanted, _REAL).order_by(*order).limit(limit)).mappings()
    return [of_row(row) for row in rows]
