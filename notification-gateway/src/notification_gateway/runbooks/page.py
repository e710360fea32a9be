"""Renders a runbook in one language; Jinja escapes every value."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from monitoring import catalogue
from monitoring.catalogue import ChineseRunbook, Point, Runbook
from monitoring.catalogue.commands import commands_of
from notification_gateway.dashboard.language import PageLanguage
from notification_gateway.language import Phrase
from notification_gateway.messages.composer import resolution_phrase
from notification_gateway.runbooks.history import ClosedIncident


class RunbookPage:
    """Renders runbooks, with times in one zone."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._templates = Environment(
            loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._templates.filters["code_spans"] = mark_code

    def render(self, point: Point, language: PageLanguage, closed: Sequence[ClosedIncident]) -> str:
        """Return the page of a point."""

        def t(zh: str, en: str) -> str:
            return Phrase(zh, en).to(language)

        return self._templates.get_template("runbook.html").render(
            point=point,
            name=catalogue.load_chinese()[point.id].name,
            runbook=_runbook(point, language),
            commands=[(getattr(each.what, language), each) for each in commands_of(point)],
            closed=closed,
            how=lambda incident: resolution_phrase(incident).to(language),
            language=language,
            t=t,
            time=self._time,
        )

    def _time(self, at: datetime | None) -> str:
        return "" if at is None else f"{at.astimezone(self._zone):%Y-%m-%d %H:%M %Z}"


def mark_code(text: str) -> Markup:
    """Return a text as HTML, with parts in backquotes as `<code>`."""
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if at % 2 else escape(part) for at, part in enumerate(text.split("`")))


def _runbook(point: Point, language: PageLanguage) -> Runbook | ChineseRunbook:
    """Return the texts in a language; English if there are no Chinese ones."""
    chinese = catalogue.load_chinese_runbooks().get(point.id)
    return point.runbook if language == "en" or chinese is None else chinese
