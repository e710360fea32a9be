"""Quality: what can't be trained on is left out and reported, and too much of it stops the run."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitoring import testing
from pipeline.errors import DataError
from pipeline.extract.columns import DATASETS, INTERACTIONS, USERS
from pipeline.quality import clean
from pipeline.quality.event_log import COUNTS

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def interaction(number: int, **changes: object) -> dict[str, object]:
    row = {"user_id": number % 20 + 1, "dataset_id": number % 50 + 1, "type": "view", "price": None}
    return row | {"ts": NOW - timedelta(hours=number + 1)} | changes


def folders(
    tmp_path: Path,
    *,
    datasets: list[dict[str, object]] | None = None,
    interactions: list[dict[str, object]] | None = None,
) -> tuple[Path, Path]:
    extracted, cleaned = tmp_path / "extract", tmp_path / "clean"
    extracted.mkdir()
    cleaned.mkdir()
    tables = {
        "users": (USERS, [{"id": number} for number in range(1, 21)]),
        "datasets": (DATASETS, [{"id": n, "title": f"T{n}"} for n in range(1, 201)] + (datasets or [])),
        "interactions": (INTERACTIONS, [interaction(n) for n in range(400)] + (interactions or [])),
    }
    for name, (schema, rows) in tables.items():
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), extracted / f"{name}.parquet")
    return extracted, cleaned


def test_sound_data_passes_untouched_and_without_a_finding(tmp_path: Path) -> None:
    with testing.captured() as reports:
        assert clean(*folders(tmp_path), NOW) == []
    assert reports == []
    assert pq.read_table(tmp_path / "clean" / "interactions.parquet").num_rows == 400
    kept = {found["check"]: found for found in json.loads((tmp_path / "clean" / "report.json").read_bytes())}
    assert {found["severity"] for found in kept.values()} == {"ok"}
    assert (kept["interactions.null_ts"]["value"], kept["interactions.null_ts"]["threshold"]) == (0.0, 0.01)
    assert {"datasets.negative_price", "interactions.unknown_user", "interactions.volume_drop"} <= kept.keys()


@pytest.mark.parametrize(
    ("bad", "check"),
    [
        ({"user_id": None}, "interactions.null_user_id"),
        ({"dataset_id": None}, "interactions.null_dataset_id"),
        ({"ts": None}, "interactions.null_ts"),
        ({"type": None}, "interactions.null_type"),
        ({"type": "like"}, "interactions.unknown_type"),
        ({"ts": NOW + timedelta(days=1)}, "interactions.future_ts"),
        ({"price": -1.0}, "interactions.negative_price"),
        ({"dataset_id": 999}, "interactions.unknown_dataset"),
        ({}, "interactions.duplicate"),
    ],
)
def test_a_bad_interaction_is_left_out_and_reported_by_its_check(
    tmp_path: Path, bad: dict[str, object], check: str
) -> None:
    with testing.captured() as reports:
        (finding,) = clean(*folders(tmp_path, interactions=[interaction(0, **bad)]), NOW)
    assert (finding.check, finding.severity) == (check, "warning")
    assert pq.read_table(tmp_path / "clean" / "interactions.parquet").num_rows == 400
    (report,) = reports
    assert report.fingerprint == ("data_quality", check)
    assert (report.level, report.tags["severity"], report.tags["metric_value"]) == (
        "warning",
        "warning",
        str(round(1 / 401, 6)),
    )
    kept = {found["check"]: found for found in json.loads((tmp_path / "clean" / "report.json").read_bytes())}
    assert [name for name, found in kept.items() if found["severity"] != "ok"] == [check]


@pytest.mark.parametrize(
    ("bad", "check"),
    [
        ({"id": None, "title": "T"}, "datasets.null_id"),
        ({"id": 300, "title": None}, "datasets.null_title"),
        ({"id": 1, "title": "again"}, "datasets.duplicate_id"),
        ({"id": 300, "title": "T", "price": -5.0}, "datasets.negative_price"),
    ],
)
def test_a_bad_dataset_is_left_out_and_reported_by_its_check(
    tmp_path: Path, bad: dict[str, object], check: str
) -> None:
    (finding,) = clean(*folders(tmp_path, datasets=[bad]), NOW)
    assert (finding.check, finding.severity) == (check, "warning")
    found = pq.read_table(tmp_path / "clean" / "datasets.parquet")
    assert found["title"].to_pylist() == [f"T{n}" for n in range(1, 201)]


def test_a_deleted_dataset_is_left_out_with_what_was_done_to_it(tmp_path: Path) -> None:
    gone = {"id": 300, "title": "gone", "is_deleted": True}
    rows = [interaction(n, dataset_id=300) for n in range(5)]
    (finding,) = clean(*folders(tmp_path, datasets=[gone], interactions=rows), NOW)
    assert finding.check == "interactions.unknown_dataset"
    assert 300 not in pq.read_table(tmp_path / "clean" / "datasets.parquet")["id"].to_pylist()


def test_a_user_whom_the_users_table_does_not_know_yet_is_kept(tmp_path: Path) -> None:
    (finding,) = clean(*folders(tmp_path, interactions=[interaction(0, user_id=900)]), NOW)
    assert (finding.check, finding.severity) == ("interactions.unknown_user", "info")
    assert 900 in pq.read_table(tmp_path / "clean" / "interactions.parquet")["user_id"].to_pylist()


def test_too_many_bad_rows_stop_the_run_and_are_reported_as_an_error(tmp_path: Path) -> None:
    bad = [interaction(n, ts=NOW + timedelta(days=n + 1)) for n in range(100)]
    with testing.captured() as reports, pytest.raises(DataError, match=r"interactions\.future_ts: 100 of 500"):
        clean(*folders(tmp_path, interactions=bad), NOW)
    assert [report.level for report in reports] == ["error"]


def test_no_interactions_stop_the_run(tmp_path: Path) -> None:
    extracted, cleaned = folders(tmp_path)
    pq.write_table(INTERACTIONS.empty_table(), extracted / "interactions.parquet")
    with pytest.raises(DataError, match=r"interactions\.empty: no interactions are left to train on"):
        clean(extracted, cleaned, NOW)


def test_a_source_that_dries_up_is_a_warning(tmp_path: Path) -> None:
    extracted, cleaned = folders(tmp_path)
    rows = [interaction(n, ts=NOW - timedelta(hours=30 + n)) for n in range(400)] + [interaction(0)]
    pq.write_table(pa.Table.from_pylist(rows, schema=INTERACTIONS), extracted / "interactions.parquet")
    (finding,) = clean(extracted, cleaned, NOW)
    assert (finding.check, finding.severity) == ("interactions.volume_drop", "warning")
    assert finding.value < 0.1


@pytest.mark.parametrize(("unknown", "severities"), [(1, ["ok"]), (5, ["warning"])])
def test_many_events_about_datasets_that_nobody_knows_are_a_finding(
    tmp_path: Path, unknown: int, severities: list[str]
) -> None:
    """The rows of the tables, of which some may be about datasets that are gone, are not counted."""
    events = [interaction(500 + n, dataset_id=10**6 if n < unknown else 7) for n in range(200)]
    extracted, cleaned = folders(tmp_path, interactions=[interaction(0, dataset_id=10**6), *events])
    (extracted / COUNTS).write_text(json.dumps({"events": len(events)}))
    with testing.captured():
        clean(extracted, cleaned, NOW)
    report = json.loads((cleaned / "report.json").read_bytes())
    (finding,) = [found for found in report if found["check"] == "events.unknown_dataset"]
    assert ([finding["severity"]], finding["value"]) == (severities, unknown / 200)
    assert f"{unknown} of 200 events" in finding["details"]
