"""Incidents as `alertctl` prints them; a text of others can't break its line."""

from collections.abc import Iterator
from datetime import UTC, datetime

from contracts.command_line import printable
from notification_gateway.alerting.schemas import Alert, AlertDetail

MAX_MESSAGE_CHARS = 100


def alert_line(alert: Alert) -> str:
    """Return an incident in one line."""
    message = _one_line(alert.message)
    if len(message) > MAX_MESSAGE_CHARS:
        message = message[: MAX_MESSAGE_CHARS - 1] + "…"
    under = f"under #{alert.parent_id}" if alert.parent_id is not None else ""
    parts = [
        f"#{alert.id}",
        alert.priority,
        _state(alert),
        alert.monitoring_point,
        f"{alert.service} ({alert.environment})",
        f"{alert.occurrences} times, last {moment(alert.last_seen)}",
        _attendance(alert),
        under,
        message,
    ]
    return "  ".join(_one_line(part) for part in parts if part)


def detail_text(alert: AlertDetail) -> str:
    """Return an incident with its timeline, notifications and changes."""
    return "\n".join(_detail_lines(alert))


def moment(at: datetime) -> str:
    """Return a time in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _detail_lines(alert: AlertDetail) -> Iterator[str]:
    where = f"{alert.service} ({alert.environment})"
    yield "  ".join(map(_one_line, [f"#{alert.id}", alert.priority, _state(alert), alert.monitoring_point, where]))
    fields = {
        "message": alert.message,
        "fingerprint": " / ".join(alert.fingerprint),
        "occurred": f"{alert.occurrences} times, {moment(alert.first_seen)} to {moment(alert.last_seen)}",
        "why": f"{alert.rule}: {alert.reason}" if alert.rule else alert.reason,
        "care": _attendance(alert),
        "parent": f"#{alert.parent_id}" if alert.parent_id is not None else "",
        "children": ", ".join(f"#{each}" for each in alert.children),
        "tags": ", ".join(f"{name}={value}" for name, value in alert.tags.items()),
        "requests": ", ".join(alert.request_ids),
        "event": alert.event_id or "",
    }
    for name, value in fields.items():
        if value:
            yield f"  {name}: {_one_line(value)}"
    sections: dict[str, list[tuple[datetime, str, str, str, str] | tuple[datetime, str, str, str]]] = {
        "notifications": [
            (each.sent_at or each.created_at, each.kind, each.channel, each.state, each.detail)
            for each in alert.notifications
        ],
        "timeline": [(each.at, each.kind, each.actor or "gateway", each.detail) for each in alert.timeline],
        "changes in the hour before": [
            (each.at, each.kind, each.subject, each.detail) for each in alert.changes_before
        ],
    }
    for title, rows in sections.items():
        if rows:
            yield f"{title}:"
        for at, *parts in rows:
            yield "  ".join(["", moment(at), *(_one_line(part) for part in parts if part)])


def _state(alert: Alert) -> str:
    if alert.state == "open":
        return "open"
    by = f" by {alert.closed_by}" if alert.closed_by else ""
    return f"resolved ({alert.resolution}{by})"


def _attendance(alert: Alert) -> str:
    assigned = f"assigned to {alert.assignee}" if alert.assignee else ""
    acknowledged = f"acknowledged by {alert.acknowledged_by}" if alert.acknowledged_by else ""
    return ", ".join(part for part in (acknowledged, assigned) if part)


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
