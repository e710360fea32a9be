"""Renders the page; everything that comes from outside is escaped."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from html import escape
from importlib.resources import files
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import RowMapping

from notification_gateway.dashboard.queries import Digest, Overview
from notification_gateway.incidents.model import Incident
from notification_gateway.messages.points import point_texts

REFRESH_SECONDS = 15
_STATES = {
    "pending": "等待 pending",
    "sending": "发送中 sending",
    "sent": "已送达 sent",
    "failed": "失败 failed",
}
_KINDS = {"opened": "告警 alert", "resolved": "恢复 resolved", "summary": "汇总 summary", "notify": "通知 notify"}


class DashboardPage:
    """Writes times in one zone, and links to the collector."""

    def __init__(self, zone: ZoneInfo, collector_url: str) -> None:
        self._zone = zone
        self._collector_url = collector_url.rstrip("/")

    def render(self, overview: Overview, now: datetime) -> str:
        """Return the page."""
        return f"""<!doctype html>
<html lang="zh">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH_SECONDS}"><title>告警 Alerts ({len(overview.open)})</title>
<style>{_css()}</style></head>
<body><main>
<div class="head"><h1>告警 Alerts</h1>
<span class="soft">{self._time(now)} · 每 {REFRESH_SECONDS} 秒刷新 refreshes</span></div>
{_tiles(overview)}
<h2>进行中 Open</h2>{self._incidents(overview.open, "没有进行中的事件 Nothing is wrong.")}
<h2>已恢复 Resolved</h2>{self._incidents(overview.resolved, "还没有 None yet.")}
<h2>送达 Deliveries</h2>{self._deliveries(overview)}
<h2>汇总 Digests</h2>{self._digests(overview)}
</main></body></html>"""

    def _incidents(self, incidents: Sequence[Incident], nothing: str) -> str:
        if not incidents:
            return f'<div class="card empty">{nothing}</div>'
        rows = "".join(map(self._incident, incidents))
        return (
            '<div class="card"><table><tr><th>级别 Priority</th><th>事件 Incident</th><th>服务 Service</th>'
            f"<th>次数 Times</th><th>开始 Since</th><th>最近 Last</th><th>状态 State</th></tr>{rows}</table></div>"
        )

    def _incident(self, incident: Incident) -> str:
        known = point_texts().get(incident.monitoring_point)
        name = escape(incident.monitoring_point if known is None else f"{known.name} {incident.monitoring_point}")
        if self._collector_url and incident.event_id:
            url = f"{self._collector_url}/issues/event/{UUID(incident.event_id)}/"
            name = f'<a href="{escape(url)}">{name}</a>'
        told = ", ".join(incident.notified) or ("已静默 silenced" if incident.silence_id else "")
        state = "进行中 open" if incident.state == "open" else f"已恢复 {incident.resolution}"
        return (
            f'<tr><td><span class="pill {incident.priority}">{incident.priority}</span></td>'
            f'<td class="text">{name}<br><span class="soft">{escape(incident.message[:300])}</span></td>'
            f"<td>{escape(incident.service)}<br><span class='soft'>{escape(incident.environment)}</span></td>"
            f'<td class="num">{incident.occurrences}</td><td class="nowrap">{self._time(incident.first_seen)}</td>'
            f'<td class="nowrap">{self._time(incident.last_seen)}</td>'
            f'<td>{state}<br><span class="soft">{escape(told)}</span></td></tr>'
        )

    def _deliveries(self, overview: Overview) -> str:
        if not overview.deliveries:
            return '<div class="card empty">还没有 None yet.</div>'
        rows = "".join(map(self._delivery, overview.deliveries))
        return (
            '<div class="card"><table><tr><th>状态 State</th><th>渠道 Channel</th><th>类型 Kind</th>'
            f"<th>内容 Message</th><th>尝试 Tries</th><th>时间 Time</th><th>说明 Detail</th></tr>{rows}</table></div>"
        )

    def _delivery(self, row: RowMapping) -> str:
        took = row["latency_seconds"]
        return (
            f'<tr><td><span class="pill {escape(row["state"])}">{_STATES[row["state"]]}</span></td>'
            f"<td>{escape(row['channel'])}</td><td>{_KINDS[row['kind']]}</td>"
            f'<td class="text">{escape(str(row["notice"]["title"]))}</td><td class="num">{row["attempts"]}</td>'
            f'<td class="nowrap">{self._time(row["sent_at"] or row["created_at"])}</td>'
            f'<td class="soft">{escape(row["detail"]) or ("" if took is None else f"{took:.2f} s")}</td></tr>'
        )

    def _digests(self, overview: Overview) -> str:
        if not overview.digests:
            return '<div class="card empty">还没有 None yet.</div>'
        return f'<div class="card">{"".join(map(self._digest, overview.digests))}</div>'

    def _digest(self, digest: Digest) -> str:
        lines = " · ".join(f"{escape(line.label)}: {escape(line.value)}" for line in digest.notice.lines)
        rows = "".join(f"<li>{escape(row)}</li>" for row in digest.notice.paragraphs)
        return (
            f"<details><summary>{escape(digest.notice.title)} "
            f'<span class="soft">{self._time(digest.period_end)} · {escape(digest.channel)}</span></summary>'
            f'<p class="soft">{lines}</p><ul>{rows}</ul></details>'
        )

    def _time(self, at: datetime) -> str:
        return f"{at.astimezone(self._zone):%m-%d %H:%M:%S}"


def _tiles(overview: Overview) -> str:
    tiles = "".join(
        f'<div class="tile"><span class="soft">{priority} {name}</span>'
        f'<b class="{priority if count else "ok"}">{count}</b></div>'
        for priority, name in (("P0", "紧急 urgent"), ("P1", "重要 important"), ("P2", "一般 minor"))
        for count in [overview.count(priority)]
    )
    failed = sum(row["state"] == "failed" for row in overview.deliveries)
    tiles += (
        f'<div class="tile"><span class="soft">发送失败 Not delivered</span>'
        f'<b class="{"failed" if failed else "ok"}">{failed}</b></div>'
    )
    most = max(overview.errors_by_minute) or 1
    bars = "".join(
        f'<i class="{"hit" if count else ""}" style="height:{max(count / most * 100, 4):.0f}%" title="{count}"></i>'
        for count in overview.errors_by_minute
    )
    total = sum(overview.errors_by_minute)
    return (
        f'<div class="tiles">{tiles}<div class="tile wide"><span class="soft">近一小时错误 Errors in the last hour: '
        f'{total}</span><div class="chart">{bars}</div></div></div>'
    )


@cache
def _css() -> str:
    return files(__package__).joinpath("style.css").read_text(encoding="utf-8")
