"""Makes the report of a week, stores it, and posts it to the notification gateway."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from contracts.run_reports import WEEKLY_PAGE
from contracts.text import repair_text
from pipeline.artifacts import join, writing
from pipeline.publish import put_report
from pipeline.settings import Settings
from pipeline.weekly_report.content import WeekContent, gather
from pipeline.weekly_report.week import Week

FOLDER, FILE = "weekly", "report.html"
_MAX_ROWS = 200
_MAX_TEXT = 500
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


def make_weekly_report(settings: Settings, week: Week, now: datetime) -> str:
    """Write the page of a week below ARTIFACT_URL, and post it if there is a gateway; returns its address."""
    name = f"{WEEKLY_PAGE}{week.name}"
    page = render(gather(settings, week), now)
    with writing(join(settings.artifact_url, FOLDER, week.name)) as folder:
        (folder / FILE).write_bytes(page)
    address = join(settings.artifact_url, FOLDER, week.name, FILE)
    if settings.gateway_url:
        address = put_report(settings.gateway_url, settings.gateway_token, name, page, run_id=name, outcome="succeeded")
    _log.info("weekly report: %s", address)
    return address


def render(content: WeekContent, now: datetime) -> bytes:
    """Return the page, in Chinese and English; long tables and texts are cut, and it says so."""
    templates = Environment(
        loader=ChoiceLoader([PackageLoader("pipeline.weekly_report"), PackageLoader("pipeline.run_report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    zone = content.week.start.tzinfo
    page = templates.get_template("weekly.html").render(
        content=content,
        now=now.astimezone(zone),
        time=lambda moment: f"{moment.astimezone(zone):%Y-%m-%d %H:%M}",
        text=lambda value: repair_text(str(value), _MAX_TEXT),
        first=_first,
        max_rows=_MAX_ROWS,
    )
    return page.encode()


def _first(rows: Sequence[_T]) -> Sequence[_T]:
    return rows[:_MAX_ROWS]
