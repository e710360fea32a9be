"""The quality step: what it leaves in the run's folder, and the earlier runs that it compares with."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from monitoring import testing
from pipeline.artifacts import join
from pipeline.demo import DemoSize, generate
from pipeline.demo.extracted import Extracted, extracted_tables, write_extracted
from pipeline.errors import DataError, InputError
from pipeline.quality.baselines import earlier_profiles
from pipeline.quality.profile import PROFILE, Profile, parse_profile, write_profile
from pipeline.settings import Settings
from pipeline.steps import RunInfo, write_run_info
from pipeline.steps.data import load_checks, quality

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def tables() -> Extracted:
    """A sound data set that ends now."""
    return extracted_tables(generate(DemoSize(datasets=120, users=80, interactions=3_000), seed=3, end=NOW))


def extracted_run(tmp_path: Path, tables: Extracted, name: str = "20260301T000000000000Z") -> str:
    folder = tmp_path / "runs" / name / "extract"
    folder.mkdir(parents=True)
    write_extracted(tables, folder)
    run, now = str(folder.parent), datetime.now(UTC)
    write_run_info(run, RunInfo(run_id=name, as_of=now, started_at=now))
    return run


def profile_in(run: str) -> Profile:
    profile = parse_profile((Path(run) / "clean" / PROFILE).read_bytes())
    assert profile is not None
    return profile


def test_a_stopped_run_keeps_its_report_and_profile_but_no_rows(tmp_path: Path, tables: Extracted) -> None:
    run = extracted_run(tmp_path, tables | {"datasets": tables["datasets"].slice(0, 0)})
    with pytest.raises(DataError, match=r"datasets\.empty"):
        quality(Settings(artifact_url=str(tmp_path)), run)
    assert sorted(path.name for path in (Path(run) / "clean").iterdir()) == [
        "profile.json",
        "quarantine.parquet",
        "report.json",
    ]
    assert {"datasets.empty", "interactions.empty"} <= {
        each.check for each in load_checks(run) if each.severity == "critical"
    }
    assert profile_in(run).datasets.rows == 0


def test_without_interactions_their_age_is_not_known_and_its_incident_stays_open(
    tmp_path: Path, tables: Extracted
) -> None:
    run = extracted_run(tmp_path, tables | {"interactions": tables["interactions"].slice(0, 0)})
    with testing.captured() as captured, pytest.raises(DataError, match=r"interactions\.empty"):
        quality(Settings(artifact_url=str(tmp_path)), run)
    assert "interactions.freshness_days" not in {each.check for each in load_checks(run)}
    recovered = {part for each in captured.recovered for part in each.fingerprint}
    assert "datasets.empty" in recovered
    assert "interactions.freshness_days" not in recovered
    assert profile_in(run).activity.freshness_seconds is None


def test_a_run_stores_its_profile(tmp_path: Path, tables: Extracted) -> None:
    run = quality(Settings(artifact_url=str(tmp_path)), extracted_run(tmp_path, tables))
    profile, rows = profile_in(run), pq.read_table(Path(run) / "clean" / "interactions.parquet")
    assert profile.interactions.rows == len(rows) == sum(profile.activity.by_type.values())
    assert sum(profile.activity.by_hour) == sum(map(profile.activity.rows_of, profile.activity.by_day)) == len(rows)
    assert profile.datasets.columns["price"].percentiles[-1] == max(tables["datasets"]["price"].to_pylist())
    assert profile.datasets.columns["description"].nulls == 3
    assert profile.activity.freshness_seconds is not None


def test_rules_of_the_users_own_are_applied_and_a_wrong_file_is_a_usage_error(
    tmp_path: Path, tables: Extracted
) -> None:
    rules = tmp_path / "mine.yaml"
    rules.write_text("datasets: {repeated_title: {warning: 0.0, critical: 0.001}}")
    run = extracted_run(tmp_path, tables)
    with pytest.raises(DataError, match=r"datasets\.repeated_title"):
        quality(Settings(artifact_url=str(tmp_path), quality_rules=rules), run)
    rules.write_text("datasets: {repeated_titles: 1}")
    with pytest.raises(InputError, match=r"mine\.yaml:1: datasets\.repeated_titles"):
        quality(Settings(artifact_url=str(tmp_path), quality_rules=rules), run)


def test_only_good_runs_with_a_readable_profile_are_compared_with(tmp_path: Path, tables: Extracted) -> None:
    run = quality(Settings(artifact_url=str(tmp_path)), extracted_run(tmp_path, tables, "c"))
    profile = profile_in(run)
    for name, days_ago, folders in (
        ("a", 2, ("clean", "bundle")),
        ("z", 1, ("clean", "bundle")),
        ("b", 1, ("clean",)),
        ("d", -1, ("clean", "bundle")),
    ):
        for folder in folders:
            (tmp_path / "runs" / name / folder).mkdir(parents=True)
        as_of = profile.as_of - timedelta(days=days_ago)
        write_profile(profile.model_copy(update={"as_of": as_of}), tmp_path / "runs" / name / "clean")
    for name, content in (("e", b"{}"), ("f", None)):
        (tmp_path / "runs" / name / "clean").mkdir(parents=True)
        (tmp_path / "runs" / name / "bundle").mkdir()
        if content is not None:
            (tmp_path / "runs" / name / "clean" / PROFILE).write_bytes(content)
    found = earlier_profiles([str(each) for each in (tmp_path / "runs").iterdir()], profile.as_of)
    assert [(profile.as_of - each.as_of).days for each in found] == [2, 1]


def test_a_profile_of_a_later_release_is_readable(tmp_path: Path, tables: Extracted) -> None:
    run = quality(Settings(artifact_url=str(tmp_path)), extracted_run(tmp_path, tables))
    content = json.loads((Path(run) / "clean" / PROFILE).read_bytes())
    content["datasets"]["columns"]["price"]["skew"] = 3
    content["new"] = {"a": 1}
    assert parse_profile(json.dumps(content).encode()) == profile_in(run)


def test_a_drift_is_found_between_runs_of_one_store(tmp_path: Path, tables: Extracted) -> None:
    settings = Settings(artifact_url=str(tmp_path))
    for name in ("1", "2", "3"):
        run = quality(settings, extracted_run(tmp_path, tables, name))
        Path(join(run, "bundle")).mkdir()
    fewer = tables["datasets"].slice(0, 90)
    run = extracted_run(tmp_path, tables | {"datasets": fewer}, "4")
    quality(settings, run)
    assert {each.check: each.severity for each in load_checks(run)}["drift.datasets_lost"] == "warning"
