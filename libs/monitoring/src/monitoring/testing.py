"""For the tests of services: what was reported, without network, windows or threads."""

from collections.abc import Iterator
from contextlib import contextmanager

from monitoring import process
from monitoring.reports import Report


class Captured(list[Report]):
    """The reports of a block, in order, every one of them; `recovered` holds the recoveries."""

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


@contextmanager
def captured() -> Iterator[Captured]:
    """Collect what is reported, from any thread; fails at the end if a report was not as the catalogue says."""
    captures = Captured()
    with process.diverted(captures):
        yield captures
    if captures.mistakes:
        raise AssertionError("; ".join(captures.mistakes))
