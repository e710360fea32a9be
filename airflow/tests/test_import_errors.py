"""DAG files that Airflow can't import are reported once, and so is their recovery."""

from airflow_monitoring.import_errors import DagFile, ImportErrors
from monitoring.testing import captured

BROKEN = ("dags", "broken.py")
TRACE = "Traceback (most recent call last):\n  File broken.py, line 1\nRuntimeError: x\n"


class Tables:
    """The contents of Airflow's tables."""

    def __init__(self, errors: dict[DagFile, str]) -> None:
        self.errors = errors
        self.files = {("dags", "good.py"), BROKEN}

    def watched(self) -> ImportErrors:
        return ImportErrors(lambda: dict(self.errors), lambda: set(self.files))


def test_an_import_error_is_reported_once_with_its_cause() -> None:
    watched = Tables({BROKEN: TRACE}).watched()
    with captured() as captures:
        watched.look()
        watched.look()
    (report,) = captures
    assert (report.fingerprint, report.level) == (("pipeline", "dag_import_failed", "broken.py"), "error")
    assert report.message == "pipeline.dag_import_failed [broken.py]: RuntimeError: x"


def test_another_error_of_the_same_file_is_reported_again() -> None:
    tables = Tables({BROKEN: TRACE})
    watched = tables.watched()
    watched.look()
    with captured() as captures:
        tables.errors[BROKEN] = TRACE.replace("x", "y")
        watched.look()
    assert len(captures) == 1


def test_only_a_corrected_or_deleted_file_has_recovered() -> None:
    other = ("dags", "other.py")
    tables = Tables({BROKEN: TRACE, other: TRACE})
    watched = tables.watched()
    watched.look()
    with captured() as captures:
        del tables.errors[BROKEN]
        watched.look()
        watched.look()
    assert [each.fingerprint for each in captures.recovered] == [("pipeline", "dag_import_failed", "broken.py")]


def test_a_new_process_ends_what_an_earlier_one_reported() -> None:
    tables = Tables({BROKEN: TRACE})
    with captured() as captures:
        tables.watched().look()
    assert [each.tags["dag_file"] for each in captures.recovered] == ["good.py"]
    tables.errors.clear()
    with captured() as captures:
        tables.watched().look()
    # And also the recovery of deleted ones, by an event without a file.
    assert sorted(each.tags.get("dag_file", "") for each in captures.recovered) == ["", "broken.py", "good.py"]
