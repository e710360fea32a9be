"""Findings about events end after a quarter of an hour without one."""

from feature_sync.events.findings import DROPPED, UNREADABLE, EventFindings
from monitoring.testing import Captured, captured


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def ended(captures: Captured) -> list[str]:
    return [each.tags["check_name"] for each in captures.recovered]


def test_a_finding_ends_once_after_a_quarter_of_an_hour_of_progress_without_one() -> None:
    clock = Clock()
    findings = EventFindings(clock)
    with captured() as captures:
        clock.now = 600
        findings.found(UNREADABLE, "not JSON", 1)
        for clock.now in (900, 1499, 1500, 1600, 9000):
            findings.note_progress()
    assert captures.point_ids == ["pipeline.data_quality"]
    # The other check had no finding since the start.
    assert ended(captures) == [DROPPED, UNREADABLE]


def test_a_new_process_ends_an_earlier_ones_finding_after_the_same_time_without_one() -> None:
    clock = Clock()
    findings = EventFindings(clock)
    with captured() as captures:
        findings.note_progress()
        assert captures.recovered == []
        clock.now = 900
        findings.note_progress()
    assert ended(captures) == [UNREADABLE, DROPPED]
