"""For the tests of services: captures reports without network, windows or threads."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from monitoring import catalogue, process
from monitoring.context import context_fields, current_request, snapshot
from monitoring.reports import Observation, OccurrenceWindow, Report, compose
from monitoring.sdk_scopes import task_values


class Captured(list[Report]):
    """All reports of a block, in order; `recovered` has the recoveries."""

    def __init__(self) -> None:
        super().__init__()
        self.recovered: list[Report] = []
        self.mistakes: list[str] = []

    def of(self, point_id: str) -> list[Report]:
        """Return the reports of one point."""
        return [report for report in self if report.point_id == point_id]

    @property
    def point_ids(self) -> list[str]:
        """The ids of the reported points, in order."""
        return [report.point_id for report in self]


class ReportCapture:
    """Composes each report as the runtime does, stores it, and notes what differs from the catalogue."""

    def __init__(self, captured: Captured) -> None:
        self._captured = captured

    def report(
        self, point_id: str, error: BaseException | None, fields: Mapping[str, Any], occurrence: str | None
    ) -> str | None:
        """Store a report; returns its event id."""
        point = self._point(point_id)
        if point is None:
            return None
        error_type = None if error is None else type(error).__name__
        seen = Observation(
            point,
            fields,
            *snapshot(),
            error_type,
            error,
            occurrence=occurrence,
            request=current_request(),
            sdk=task_values(),
        )
        self._captured.mistakes += [
            f"{point_id} was reported without {name}, which its fingerprint needs" for name in seen.missing_parts()
        ]
        composed = _compose(seen)
        self._captured.append(composed)
        return composed.event_id

    def recovered(self, point_id: str, fields: Mapping[str, Any]) -> None:
        """Store a recovery."""
        point = self._point(point_id)
        if point is not None:
            self._captured.recovered.append(_compose(Observation(point, fields, context_fields(), ())))

    def _point(self, point_id: str) -> catalogue.Point | None:
        point = catalogue.load_reported().by_id().get(point_id)
        if point is None:
            self._captured.mistakes.append(f"{point_id!r} is no monitoring point of the catalogue")
        return point


@contextmanager
def captured() -> Iterator[Captured]:
    """Collect what is reported, from any thread; fails at the end if a report was not as the catalogue says."""
    captures = Captured()
    with process.substituted(ReportCapture(captures)):
        yield captures
    if captures.mistakes:
        raise AssertionError("; ".join(captures.mistakes))


def _compose(seen: Observation) -> Report:
    request_id = seen.context.get("request_id")
    at = time.time()
    window = OccurrenceWindow(1, at, at, () if request_id is None else (request_id,))
    return compose(seen, window, service="test", redactor=process.redactor())
