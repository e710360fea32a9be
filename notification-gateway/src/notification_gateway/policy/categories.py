"""The category of what names none: the catalogue's, of its monitoring point."""

from collections.abc import Sequence

from monitoring import catalogue
from monitoring.catalogue import Point, open_part


def category_of(monitoring_point: str | None, fingerprint: Sequence[object]) -> str:
    """Return the category of a point; without one, of the point that has such a fingerprint.

    What the catalogue doesn't know goes by the first part of its name.
    """
    point = _point(monitoring_point, fingerprint)
    if point is not None:
        return point.category
    return monitoring_point.partition(".")[0] if monitoring_point else str(fingerprint[0])


def _point(monitoring_point: str | None, fingerprint: Sequence[object]) -> Point | None:
    if monitoring_point:
        return catalogue.load_all().by_id().get(monitoring_point)
    alike = [point for point in catalogue.load_all() if _has(point, fingerprint)]
    return max(alike, key=lambda point: -len(point.open_parts), default=None)


def _has(point: Point, fingerprint: Sequence[object]) -> bool:
    return len(point.fingerprint) == len(fingerprint) and all(
        open_part(wanted) is not None or wanted == found
        for wanted, found in zip(point.fingerprint, fingerprint, strict=True)
    )
