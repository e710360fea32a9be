"""Finds the category of an event by its monitoring point in the catalogue."""

from collections.abc import Sequence

from monitoring import catalogue
from monitoring.catalogue import Point, open_part


def category_of(monitoring_point: str | None, fingerprint: Sequence[object]) -> str:
    """Return the category of a point; without a point, of the point that matches the fingerprint.

    For unknown points it is the first part of the point's name or of the fingerprint.
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
