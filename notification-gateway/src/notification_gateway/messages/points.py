"""The name and the first action of each monitoring point, in Chinese and English, from the catalogue."""

from dataclasses import dataclass
from functools import cache

from monitoring import catalogue


@dataclass(frozen=True)
class PointText:
    """The name in Chinese, and what to do first in both languages."""

    name: str
    first_zh: str
    first_en: str


@cache
def point_texts() -> dict[str, PointText]:
    """Return the texts by monitoring point."""
    chinese = catalogue.load_chinese()
    return {
        point.id: PointText(chinese[point.id].name, chinese[point.id].first, point.runbook.do)
        for point in catalogue.load_all()
    }


def runbook_anchor(point_id: str) -> str:
    """Return the anchor of a point's section in docs/MONITORING_POINTS.md."""
    return point_id.replace(".", "").lower()
