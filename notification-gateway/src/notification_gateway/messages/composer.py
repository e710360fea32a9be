"""Writes the notices of incidents, summaries and calls of /notify."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from notification_gateway.incidents.model import Incident
from notification_gateway.messages.notice import Line, Notice
from notification_gateway.messages.points import point_texts, runbook_anchor
from notification_gateway.policy.model import Alert

# WeChat takes 2048 bytes in all, and the advice below the message must still fit.
MAX_MESSAGE = 300
MAX_REQUEST_IDS = 3
MAX_ROWS = 40

_SUMMARY_TITLES = {
    "hourly_summary": "每小时告警汇总 Hourly alert summary",
    "daily_digest": "每日告警摘要 Daily alert digest",
}
_RESOLUTIONS = {"recovered": "故障方报告恢复 reported as recovered", "quiet": "15 分钟内未再发生 quiet for 15 minutes"}


@dataclass(frozen=True)
class SummaryEntry:
    """What one incident did in a summary's period."""

    incident: Incident
    occurrences: int


class Composer:
    """Writes times in one zone, and links to the collector and the runbook."""

    def __init__(self, zone: ZoneInfo, collector_url: str, runbook_url: str) -> None:
        self._zone = zone
        self._collector_url = collector_url.rstrip("/")
        self._runbook_url = runbook_url

    def opened(self, incident: Incident) -> Notice:
        """Say that an incident began."""
        known = point_texts().get(incident.monitoring_point)
        lines = [
            self._service(incident),
            Line(label="现象 What", value=_cut(incident.message, MAX_MESSAGE)),
            Line(label="开始 Since", value=self._time(incident.first_seen)),
            Line(label="次数 Times", value=str(incident.occurrences)),
        ]
        if known:
            lines.append(Line(label="先做 Do first", value=f"{known.first_zh} {known.first_en}"))
        lines += self._links(incident)
        if incident.request_ids:
            some = ", ".join(incident.request_ids[:MAX_REQUEST_IDS])
            lines.append(Line(label="请求 Requests", value=some))
        lines.append(Line(label="规则 Rule", value=incident.rule or incident.reason))
        return Notice(
            title=f"【{incident.priority} 告警 Alert】{_name(incident)}",
            lines=tuple(lines),
            reference=f"#{incident.id}",
        )

    def resolved(self, incident: Incident) -> Notice:
        """Say that an incident is over."""
        lasted = incident.last_seen - incident.first_seen
        lines = (
            self._service(incident),
            Line(label="开始 Since", value=self._time(incident.first_seen)),
            Line(label="结束 Until", value=f"{self._time(incident.last_seen)}（{_duration(lasted)}）"),
            Line(label="次数 Times", value=str(incident.occurrences)),
            Line(label="原因 How", value=_RESOLUTIONS[incident.resolution or "quiet"]),
            *self._links(incident),
        )
        return Notice(title=f"【已恢复 Resolved】{_name(incident)}", lines=lines, reference=f"#{incident.id}")

    def summary(self, alert: Alert, start: datetime, end: datetime, entries: Sequence[SummaryEntry]) -> Notice:
        """Say what happened in a period, most frequent first."""
        ordered = sorted(entries, key=lambda entry: (entry.incident.priority, -entry.occurrences))
        rows = [self._row(entry) for entry in ordered[:MAX_ROWS]]
        if len(ordered) > MAX_ROWS:
            rows.append(f"…… 另有 {len(ordered) - MAX_ROWS} 个事件，见告警面板 and more: see the dashboard")
        lines = (
            Line(label="时段 Period", value=f"{self._time(start)} – {self._time(end)}"),
            Line(label="事件 Incidents", value=str(len(ordered))),
            Line(label="次数 Times", value=str(sum(entry.occurrences for entry in ordered))),
        )
        return Notice(
            title=f"【{_SUMMARY_TITLES[alert]}】{len(ordered)} 个事件 incidents",
            lines=lines,
            paragraphs=tuple(rows),
            reference=f"{alert} {self._time(end)}",
        )

    def _row(self, entry: SummaryEntry) -> str:
        incident = entry.incident
        state = "进行中 open" if incident.state == "open" else "已恢复 resolved"
        return (
            f"{incident.priority} · {_name(incident)} · {incident.service} · {entry.occurrences} 次 times · {state} · "
            f"{_cut(incident.message, 160)}"
        )

    def _service(self, incident: Incident) -> Line:
        return Line(label="服务 Service", value=f"{incident.service}（{incident.environment}）")

    def _links(self, incident: Incident) -> list[Line]:
        links = []
        if self._collector_url and incident.event_id:
            url = f"{self._collector_url}/issues/event/{UUID(incident.event_id)}/"
            links.append(Line(label="事件 Event", value=url))
        if incident.monitoring_point in point_texts():
            url = f"{self._runbook_url}#{runbook_anchor(incident.monitoring_point)}"
            links.append(Line(label="手册 Runbook", value=url))
        return links

    def _time(self, at: datetime) -> str:
        return f"{at.astimezone(self._zone):%Y-%m-%d %H:%M:%S %Z}"


def _name(incident: Incident) -> str:
    known = point_texts().get(incident.monitoring_point)
    if known is None:
        return " / ".join(incident.fingerprint)
    return f"{known.name} {incident.monitoring_point}"


def _duration(span: timedelta) -> str:
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _cut(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
