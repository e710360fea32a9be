"""Recoveries of what is watched with every call: few signals, and none is missing."""

from monitoring import Recoveries
from monitoring.testing import Captured, captured

POINT = "pipeline.database"


def operations(captures: Captured) -> list[str]:
    return [each.tags["operation"] for each in captures.recovered]


def test_the_first_success_of_a_process_ends_what_an_earlier_one_reported() -> None:
    recoveries = Recoveries(POINT)
    with captured() as captures:
        recoveries.note_success(database="registry", operation="read")
        recoveries.note_success(database="registry", operation="write")
    assert operations(captures) == ["read", "write"]


def test_further_successes_send_nothing() -> None:
    recoveries = Recoveries(POINT)
    with captured() as captures:
        for _ in range(100):
            recoveries.note_success(database="registry", operation="read")
    assert operations(captures) == ["read"]


def test_the_first_success_after_each_failure_is_a_recovery_of_that_operation_alone() -> None:
    recoveries = Recoveries(POINT)
    for operation in ("read", "write"):
        recoveries.note_success(database="registry", operation=operation)
    with captured() as captures:
        recoveries.note_failure(operation="read", database="registry")
        for operation in ("write", "read", "read"):
            recoveries.note_success(database="registry", operation=operation)
    assert operations(captures) == ["read"]
