"""Writes the notices of incidents, storms and summaries."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from notification_gateway.incidents.model import History, Incident
from notification_gateway.language import Language, Phrase
from notification_gateway.messages.forms import cut_bytes
from notification_gateway.messages.links import Action, Links
from notification_gateway.messages.points import point_texts
from notification_gateway.messages.summary import Fault, PeriodCounts
from notification_gateway.outbox.model import Kind
from notification_gateway.outbox.notice import Chart, Line, Notice
from notification_gateway.policy.model import Alert

# A WeChat message holds 2048 bytes, and the advice below this text must still fit.
MAX_MESSAGE = 300
MAX_MESSAGE_BYTES = 600
MAX_REQUEST_IDS = 3
MAX_SYMPTOMS = 5
# Rows of a summary, which is an email or a page; a row is a fault, not an incident.
MAX_ROWS = 100
# Incidents that a storm's message names, so that it fits into a WeChat text.
MAX_MEMBERS = 15

_SUMMARY_TITLES: dict[Alert, Phrase] = {
    "immediate": Phrase("告警汇总", "Alert summary"),
    "hourly_summary": Phrase("每小时告警汇总", "Hourly alert summary"),
    "daily_digest": Phrase("每日告警摘要", "Daily alert digest"),
}
_RESOLUTIONS = {
    "recovered": Phrase("故障方报告恢复", "reported as recovered"),
    "quiet": Phrase("15 分钟内未再发生", "quiet for 15 minutes"),
    "closed": Phrase("人工关闭", "closed by hand"),
    "false_alarm": Phrase("误报", "a false alarm"),
    "abandoned": Phrase("30 天内没有信号", "no signal for 30 days"),
}
# For a resolution that only a later release knows.
_ENDED = Phrase("已结束", "ended")
_STORM_TITLES: dict[Kind, Phrase] = {
    "opened": Phrase("告警风暴", "Alert storm"),
    "repeated": Phrase("再次发生", "Again"),
    "reminded": Phrase("仍未恢复", "Still open"),
    "resolved": Phrase("已恢复", "Resolved"),
}
# The actions that a message offers by signed links.
_ACTIONS: tuple[tuple[Action, str, str], ...] = (
    ("acknowledge", "我来处理", "Acknowledge"),
    ("close", "关闭", "Close"),
    ("false-alarm", "误报", "False alarm"),
)
_OPEN, _RESOLVED = Phrase("进行中", "open"), Phrase("已恢复", "resolved")


class Composer:
    """Writes notices in one language, with times in one zone."""

    def __init__(self, zone: ZoneInfo, language: Language, links: Links) -> None:
        self._zone = zone
        self._language = language
        self.links = links

    def compose_opened(
        self, incident: Incident, history: History, symptoms: Sequence[Incident], now: datetime
    ) -> Notice:
        """Return the notice of a new incident: what, since when, how often, where, symptoms, first action."""
        title = f"【{incident.priority} {self._in('告警', 'Alert')}】{self._name(incident)}"
        return self._alert(title, incident, [self._how_often(incident, history), *self._symptoms(symptoms)], now)

    def compose_repeated(self, incident: Incident, now: datetime) -> Notice:
        """Return the notice of a new run, deployment or episode that failed in the same way."""
        title = f"【{incident.priority} {self._in('再次发生', 'Again')}】{self._name(incident)}"
        episode = [self._line("本次", "This time", incident.episode)] if incident.episode else []
        return self._alert(title, incident, [*episode, self._times(incident)], now, occasion=now)

    def compose_reminded(self, incident: Incident, now: datetime) -> Notice:
        """Return the reminder of an open incident without an acknowledgement."""
        title = f"【{incident.priority} {self._in('仍未恢复', 'Still open')}】{self._name(incident)}"
        open_for = self._line("已持续", "Open for", _duration(now - incident.opened_at))
        return self._alert(title, incident, [open_for, self._times(incident)], now, occasion=now)

    def compose_escalated(self, incident: Incident) -> Notice:
        """Return the notice of an escalation."""
        title = f"【{incident.priority} {self._in('无人确认', 'Not acknowledged')}】{self._name(incident)}"
        return self._alert(title, incident, [self._times(incident)], incident.notified_at or incident.opened_at)

    def compose_resolved(self, incident: Incident, now: datetime) -> Notice:
        """Return the notice of an incident's end, and how it ended."""
        lasted = incident.last_seen - incident.first_seen
        until = f"{self._time(incident.last_seen)}（{_duration(lasted)}）"
        how = resolution_phrase(incident).to(self._language)
        if incident.closed_by:
            how += f" · {incident.closed_by}"
        title = self._in("已关闭", "Closed") if incident.is_closed_by_person else self._in("已恢复", "Resolved")
        lines = [
            self._service(incident),
            self._line("开始", "Since", self._time(incident.first_seen)),
            self._line("结束", "Until", until),
            self._times(incident),
            self._line("原因", "How", how),
        ]
        if incident.is_closed_by_person and (reopen := self.links.action("reopen", incident.id, now)):
            lines.append(self._link("重新打开", "Reopen", reopen))
        return self._notice(
            f"【{title}】{self._name(incident)}",
            (*lines, *self._places(incident)),
            reference=f"#{incident.id}",
            url=self.links.event(incident) or self.links.dashboard(),
        )

    def compose_storm(self, kind: Kind, notices: Sequence[Notice]) -> Notice:
        """Return one notice for many incidents."""
        title = _STORM_TITLES.get(kind, _STORM_TITLES["opened"]).to(self._language)
        rows = [f"{each.reference} {each.title}" for each in notices[:MAX_MEMBERS]]
        if len(notices) > MAX_MEMBERS:
            rows.append(self._more(len(notices) - MAX_MEMBERS))
        dashboard = self.links.dashboard()
        return self._notice(
            f"【{title}】{self._count(len(notices))}",
            (self._link("面板", "Dashboard", dashboard),) if dashboard else (),
            paragraphs=tuple(rows),
            reference=f"{notices[0].reference}–{notices[-1].reference}",
            url=dashboard,
        )

    def compose_summary(self, counts: PeriodCounts) -> Notice:
        """Return the notice of a summary, the most urgent and frequent faults first; all numbers come from `counts`."""
        start, end = counts.since, counts.end
        rows = [self._row(fault) for fault in counts.faults[:MAX_ROWS]]
        urls = [self.links.incident(fault.newest.id) for fault in counts.faults[:MAX_ROWS]]
        if rest := counts.faults[MAX_ROWS:]:
            rows.append(self._more(sum(len(fault.entries) for fault in rest), sum(fault.occurrences for fault in rest)))
        lines = [
            self._line("时段", "Period", f"{self._time(start)} – {self._time(end)}"),
            self._line("事件", "Incidents", str(len(counts.unsilenced))),
            self._line("次数", "Times", str(counts.occurrences)),
        ]
        if counts.earlier:
            lines.append(self._line("其中早于本时段", "Of these, before the period", str(counts.earlier)))
        if counts.silenced:
            silenced = f"{self._number_of_times(counts.silenced)} · {self._count(counts.silenced_incidents)}"
            lines.append(self._line("另有静默", "Silenced besides", silenced))
        if dashboard := self.links.dashboard():
            lines.append(self._link("面板", "Dashboard", dashboard))
        labels = (f"{start.astimezone(self._zone):%H:%M}", f"{end.astimezone(self._zone):%H:%M}")
        return self._notice(
            f"【{_SUMMARY_TITLES[counts.alert].to(self._language)}】{self._count(len(counts.unsilenced))}",
            tuple(lines),
            paragraphs=tuple(rows),
            paragraph_urls=tuple(urls),
            chart=Chart(title=self._in("次数", "Times"), labels=labels, values=tuple(counts.by_time)),
            reference=f"{counts.alert} {self._time(end)}",
            url=dashboard,
        )

    def _alert(
        self, title: str, incident: Incident, more: Sequence[Line], now: datetime, *, occasion: datetime | None = None
    ) -> Notice:
        lines = [
            self._service(incident),
            self._line("现象", "What", cut_bytes(_cut(incident.message, MAX_MESSAGE), MAX_MESSAGE_BYTES, "…")),
            self._line("开始", "Since", self._time(incident.first_seen)),
            *more,
        ]
        point = point_texts().get(incident.monitoring_point)
        if point:
            lines.append(self._line("先做", "Do first", Phrase(point.first_zh, point.first_en).to(self._language)))
        actions = [(zh, en, self.links.action(action, incident.id, now)) for action, zh, en in _ACTIONS]
        links = [self._link(zh, en, url) for zh, en, url in actions if url]
        lines += [*links[:1], *self._places(incident), *links[1:]]
        if incident.request_ids:
            lines.append(self._line("请求", "Requests", ", ".join(incident.request_ids[:MAX_REQUEST_IDS])))
            if url := self.links.request(incident.request_ids[0]):
                lines.append(self._link("查看请求", "Show the request", url))
        lines.append(self._line("规则", "Rule", incident.rule or incident.reason))
        url = self.links.action("acknowledge", incident.id, now) or self.links.event(incident)
        # WeChat drops a message that equals one of the last 30 minutes.
        reference = f"#{incident.id}" if occasion is None else f"#{incident.id} {self._time(occasion)}"
        return self._notice(title, tuple(lines), reference=reference, url=url)

    def _times(self, incident: Incident) -> Line:
        return self._line("次数", "Times", str(incident.occurrences))

    def _symptoms(self, symptoms: Sequence[Incident]) -> list[Line]:
        if not symptoms:
            return []
        named = [f"{self._name(each)} ×{each.occurrences}" for each in symptoms[:MAX_SYMPTOMS]]
        return [self._line("引发", "Explains", ", ".join(named))]

    def _how_often(self, incident: Incident, history: History) -> Line:
        value = str(incident.occurrences)
        if history.incidents > 1:
            value += self._in(
                f"（24 小时内第 {history.incidents} 起，共 {history.occurrences} 次）",
                f"(incident {history.incidents} in 24 h, {history.occurrences} times in all)",
            )
        return self._line("次数", "Times", value)

    def _row(self, fault: Fault) -> str:
        incident = fault.newest
        state = (_OPEN if incident.state == "open" else _RESOLVED).to(self._language)
        times = self._number_of_times(fault.occurrences)
        if len(fault.entries) > 1:
            times += f" · {self._count(len(fault.entries))}"
        return (
            f"{fault.priority} · {self._name(incident)} · {incident.service}（{incident.environment}） · {times} · "
            f"{state} · #{incident.id} · {_cut(incident.message, 160)}"
        )

    def _notice(
        self,
        title: str,
        lines: tuple[Line, ...],
        *,
        reference: str,
        url: str,
        paragraphs: tuple[str, ...] = (),
        paragraph_urls: tuple[str, ...] = (),
        chart: Chart | None = None,
    ) -> Notice:
        return Notice(
            title=title,
            lines=lines,
            paragraphs=paragraphs,
            paragraph_urls=paragraph_urls,
            chart=chart,
            reference=reference,
            url=url,
            language=self._language,
        )

    def _service(self, incident: Incident) -> Line:
        return self._line("服务", "Service", f"{incident.service}（{incident.environment}）")

    def _places(self, incident: Incident) -> list[Line]:
        places = (("手册", "Runbook", self.links.runbook(incident)), ("事件", "Event", self.links.event(incident)))
        return [self._link(zh, en, url) for zh, en, url in places if url]

    def _line(self, zh: str, en: str, value: str) -> Line:
        return Line(label=self._in(zh, en), value=value)

    def _link(self, zh: str, en: str, url: str) -> Line:
        return Line(label=self._in(zh, en), value=url, url=url)

    def _name(self, incident: Incident) -> str:
        point = point_texts().get(incident.monitoring_point)
        if point is None:
            return " / ".join(incident.fingerprint)
        return incident.monitoring_point if self._language == "en" else f"{point.name} {incident.monitoring_point}"

    def _count(self, number: int) -> str:
        return f"{number} {self._in('个事件', 'incidents')}"

    def _number_of_times(self, number: int) -> str:
        return f"{number} {self._in('次', 'times')}"

    def _more(self, number: int, occurrences: int | None = None) -> str:
        zh, en = f"…… 另有 {number} 个事件", f"and {number} more"
        if occurrences is not None:
            zh, en = f"{zh}（{occurrences} 次）", f"{en} ({occurrences} times)"
        return self._in(f"{zh}，见告警面板", f"{en}: see the dashboard")

    def _in(self, zh: str, en: str) -> str:
        return Phrase(zh, en).to(self._language)

    def _time(self, at: datetime) -> str:
        return f"{at.astimezone(self._zone):%Y-%m-%d %H:%M:%S %Z}"


def resolution_phrase(incident: Incident) -> Phrase:
    """Return how an incident ended, in words."""
    return _RESOLUTIONS.get(incident.resolution or "quiet", _ENDED)


def _duration(span: timedelta) -> str:
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _cut(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
