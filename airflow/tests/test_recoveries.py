"""A reported fault is reported as recovered once it is: by the same step, check or operation."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from business import DatabaseUnavailableError
from monitoring.testing import Captured, captured
from pipeline.business.database import DatabaseError, open_engine
from pipeline.business.load import is_empty, replace_content
from pipeline.demo import DemoSize, generate
from pipeline.errors import NothingToTrainError
from pipeline.extract import extract, open_business
from pipeline.extract.faults import reading
from pipeline.quality import clean
from pipeline.sentry_utils import (
    monitor_pipeline_step,
    track_data_quality_ok,
    track_database_ok,
    track_feature_store_sync_ok,
    track_model_training_ok,
)

END = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ended(captures: Captured, point_id: str) -> list[tuple[str, ...]]:
    return [each.fingerprint for each in captures.recovered if each.point_id == point_id]


@pytest.mark.parametrize(
    ("critical", "point"), [(True, "pipeline.critical_step_failed"), (False, "pipeline.step_failed")]
)
def test_a_step_that_passes_ends_the_incident_of_its_failures_whatever_their_errors(critical: bool, point: str) -> None:
    @monitor_pipeline_step("sample", critical=critical)
    def step(fails: bool) -> None:
        if fails:
            raise LookupError("on purpose")

    with captured() as captures:
        with pytest.raises(LookupError):
            step(fails=True)
        assert captures.recovered == []
        step(fails=False)
    (recovery,) = captures.recovered
    assert (recovery.point_id, recovery.fingerprint[:2]) == (point, ("pipeline", "sample"))
    assert recovery.tags["step_name"] == "sample"


def test_a_step_with_nothing_to_train_yet_is_a_success_and_ends_earlier_failures() -> None:
    @monitor_pipeline_step("extract")
    def step() -> None:
        raise NothingToTrainError("nothing to train yet")

    with captured() as captures, pytest.raises(NothingToTrainError):
        step()
    assert captures == []
    assert [each.tags["step_name"] for each in captures.recovered] == ["extract"]


def test_every_kind_of_issue_has_a_recovery() -> None:
    with captured() as captures:
        track_data_quality_ok("null_share")
        track_model_training_ok("ranker", "below_baseline")
        track_feature_store_sync_ok("write_users")
        track_database_ok("extract_users", "business")
    assert [(each.point_id, each.fingerprint[:3]) for each in captures.recovered] == [
        ("pipeline.data_quality", ("data_quality", "null_share")),
        ("pipeline.model_training", ("model_training", "ranker", "below_baseline")),
        ("pipeline.feature_store_sync", ("feature_store", "write_users", "unknown")),
        ("pipeline.database", ("database", "business", "extract_users")),
    ]


def test_every_check_of_clean_data_reports_ok(clean_folder: Path, tmp_path: Path) -> None:
    with captured() as captures:
        findings = clean(clean_folder.parent / "extract", tmp_path, END)
    recovered = [fingerprint[1] for fingerprint in ended(captures, "pipeline.data_quality")]
    bad = {finding.check for finding in findings}
    assert len(recovered) == len(set(recovered))
    assert bad.isdisjoint(recovered)
    # These can only be judged with some data.
    assert {*recovered, *bad} >= {
        "datasets.empty",
        "interactions.empty",
        "interactions.volume_drop",
        "interactions.implausible_ts",
        "interactions.unknown_user",
        "events.unknown_dataset",
        "datasets.withdrawn",
    }


def test_a_database_recovers_when_everything_was_read_and_not_when_it_was_opened(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'business.db'}"
    engine = open_engine(url, "BUSINESS_DATABASE_URL")
    with captured() as captures:
        assert is_empty(engine)
        replace_content(engine, generate(DemoSize(datasets=100, users=50, interactions=1000), 1, END))
    assert set(ended(captures, "pipeline.database")) >= {("database", "business", "load", "unknown")}
    with captured() as captures, pytest.raises(DatabaseError), reading("business"):
        raise DatabaseUnavailableError("gone")
    assert captures.recovered == []
    (tmp_path / "extract").mkdir()
    with captured() as captures, open_business(SecretStr(url)) as business:
        assert captures.recovered == []
        extract(business, None, None, tmp_path / "extract")
    assert ended(captures, "pipeline.database") == [("database", "business", "extract", "unknown")]
