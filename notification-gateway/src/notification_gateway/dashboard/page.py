"""Renders the pages; Jinja escapes every value."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from html import escape
from typing import Any, Literal
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy import Connection

from notification_gateway.dashboard.audit_logs import AuditLogView
from notification_gateway.dashboard.charts import Chart
from notification_gateway.dashboard.incident import CHANGES, gather_incident
from notification_gateway.dashboard.language import PageLanguage
from notification_gateway.dashboard.panels import Panels
from notification_gateway.dashboard.request import gather_request
from notification_gateway.incidents.model import Incident
from notification_gateway.language import Phrase
from notification_gateway.messages.links import Links
from notification_gateway.messages.points import point_texts

Tab = Literal["overview", "live", "data", "models", "runs", "incidents", "silences", "digests"]
# The audit log has a route of its own, because it takes a filter.
NavigationEntry = Tab | Literal["audit"]
TABS: dict[NavigationEntry, Phrase] = {
    "overview": Phrase("总览", "Overview"),
    "live": Phrase("实时", "Live"),
    "data": Phrase("数据质量", "Data quality"),
    "models": Phrase("模型", "Models"),
    "runs": Phrase("运行", "Runs"),
    "incidents": Phrase("事件", "Incidents"),
    "silences": Phrase("静默", "Silences"),
    "digests": Phrase("摘要", "Digests"),
    "audit": Phrase("审计日志", "Audit log"),
}
# Of a text in a list: pages stay small, and lists readable.
_LISTED_CHARS = 120
# As HTML in UTF-8: for each character of Chinese, but not for quotes alone.
_BYTES_PER_CHAR = 3
_LABEL_CHARS = 60


class Page:
    """Renders tabs and incidents, with times in one zone."""

    def __init__(self, panels: Panels, zone: ZoneInfo, links: Links) -> None:
        self._panels = panels
        self._zone = zone
        self._links = links
        self._templates = Environment(
            loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._templates.filters["cut"] = _cut

    def render(
        self,
        tab: Tab,
        language: PageLanguage,
        connection: Connection,
        now: datetime,
        *,
        may_change: bool,
        incident_id: int | None = None,
    ) -> str:
        """Return the page of a tab; the tab `incidents` shows `incident_id` first."""
        content = self._panels.gather(tab, connection, now, incident_id)
        return self._fill(f"{tab}.html", content, tab, language, now, may_change=may_change, back=tab)

    def render_incident(
        self, incident_id: int, language: PageLanguage, connection: Connection, now: datetime, *, may_change: bool
    ) -> str:
        """Return the page of an incident; raises `IncidentNotFoundError`."""
        content = gather_incident(connection, incident_id)
        back = f"incident/{incident_id}"
        return self._fill("incident.html", content, "incidents", language, now, may_change=may_change, back=back)

    def render_request(
        self, request_id: str, language: PageLanguage, connection: Connection, now: datetime, *, may_change: bool
    ) -> str:
        """Return the page of a request; without a session, it only asks to sign in."""
        content = gather_request(connection, request_id, now) if may_change else {"request_id": request_id}
        content["search_url"] = self._links.search(request_id)
        back = f"request/{request_id}"
        return self._fill("request.html", content, "incidents", language, now, may_change=may_change, back=back)

    def render_audit(
        self,
        log: AuditLogView | None,
        language: PageLanguage,
        _connection: Connection,
        now: datetime,
        *,
        may_change: bool,
    ) -> str:
        """Return the page of the audit logs; None: it only asks to sign in."""
        content = {"log": log}
        return self._fill("audit.html", content, "audit", language, now, may_change=may_change, back="audit")

    def _fill(
        self,
        template: str,
        content: dict[str, Any],
        tab: NavigationEntry,
        language: PageLanguage,
        now: datetime,
        *,
        may_change: bool,
        back: str,
    ) -> str:
        def t(zh: str, en: str) -> str:
            return Phrase(zh, en).to(language)

        return self._templates.get_template(template).render(
            content,
            tab=tab,
            back=back,
            tabs={name: phrase.to(language) for name, phrase in TABS.items()},
            language=language,
            may_change=may_change,
            t=t,
            now=now,
            time=self._time,
            date_time=lambda at: f"{self._local(at):%Y-%m-%d %H:%M:%S}",
            zone=self._zone.key,
            ago=lambda at: _ago(now - at, t),
            span=lambda age: _span(age, t),
            phrase=lambda text: text.to(language),
            name=lambda incident: _name(incident, language),
            state_name=lambda state: t("进行中", "open") if state == "open" else t("已结束", "resolved"),
            change_name=lambda kind: CHANGES[kind].to(language) if kind in CHANGES else kind,
            event_url=self._links.event,
            incident_url=self._links.incident,
            runbook_url=self._links.runbook,
            chart=_chart_data,
        )

    def _time(self, at: datetime) -> str:
        return f"{self._local(at):%m-%d %H:%M:%S}"

    def _local(self, at: datetime) -> datetime:
        """Return a moment in the page's zone; at an edge of the calendar, which others may name, in its own."""
        try:
            return at.astimezone(self._zone)
        except OverflowError:
            return at


def _cut(text: str, chars: int = _LISTED_CHARS) -> str:
    """Return the beginning of a text of others; it also has a bound as HTML."""
    shown = text[:chars]
    most = chars * _BYTES_PER_CHAR
    while (size := len(escape(shown).encode(errors="replace"))) > most:
        shown = shown[: len(shown) * most // size]
    return text if shown == text else f"{shown}…"


def _chart_data(chart: Chart) -> str:
    series = [replace(each, label=_cut(each.label, _LABEL_CHARS)) for each in chart.series]
    shown = replace(chart, series=series, names=[_cut(name, _LABEL_CHARS) for name in chart.names])
    return json.dumps(asdict(shown) | {"x": list(chart.x)}, ensure_ascii=False)


def _name(incident: Incident, language: PageLanguage) -> str:
    point = point_texts().get(incident.monitoring_point)
    if point is None:
        return _cut(" / ".join(incident.fingerprint))
    return point.name if language == "zh" else incident.monitoring_point


def _ago(age: timedelta, t: Callable[[str, str], str]) -> str:
    return t(f"{_span(age, t)}前", f"{_span(age, t)} ago")


def _span(age: timedelta, t: Callable[[str, str], str]) -> str:
    seconds = max(int(age.total_seconds()), 0)
    for size, zh, en in ((86_400, "天", "d"), (3600, "小时", "h"), (60, "分钟", "min")):
        if seconds >= size:
            return t(f"{seconds // size} {zh}", f"{seconds // size} {en}")
    return t(f"{seconds} 秒", f"{seconds} s")
