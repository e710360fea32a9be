"""Quality: unusable data is left out and reported, and too much of it stops the run."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitoring import testing
from pipeline.errors import DataError
from pipeline.extract.columns import DATASETS, INTERACTIONS, USERS
from pipeline.extract.extract import OUTSIDE_CALENDAR
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


def test_sound_data_passes_unchanged_and_without_a_finding(tmp_path: Path) -> None:
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
        ({"ts": datetime(1, 1, 1, tzinfo=UTC)}, "interactions.early_ts"),
        ({"ts": datetime(1970, 1, 1, 12, tzinfo=UTC)}, "interactions.early_ts"),
        ({"user_id": 0}, "interactions.low_user_id"),
        ({"dataset_id": -5}, "interactions.low_dataset_id"),
        ({"price": -1.0}, "interactions.negative_price"),
        ({"dataset_id": 999}, "interactions.unknown_dataset"),
        ({}, "interactions.duplicate"),
    ],
)
def test_a_bad_interaction_is_left_out_and_reported_under_its_check(
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
        ({"id": 300, "title": "T", "price": math.nan}, "datasets.unusable_price"),
        ({"id": 300, "title": "T", "price": math.inf}, "datasets.unusable_price"),
        ({"id": 300, "title": "T", "price": -math.inf}, "datasets.unusable_price"),
        ({"id": 300, "title": "T", "price": 1e308}, "datasets.unusable_price"),
        ({"id": 0, "title": "T"}, "datasets.low_id"),
        ({"id": 300, "title": "a\0b"}, "datasets.unusable_title"),
        ({"id": 300, "title": "x" * 501}, "datasets.unusable_title"),
    ],
)
def test_a_bad_dataset_is_left_out_and_reported_under_its_check(
    tmp_path: Path, bad: dict[str, object], check: str
) -> None:
    (finding,) = clean(*folders(tmp_path, datasets=[bad]), NOW)
    assert (finding.check, finding.severity) == (check, "warning")
    found = pq.read_table(tmp_path / "clean" / "datasets.parquet")
    assert found["title"].to_pylist() == [f"T{n}" for n in range(1, 201)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("description", "a\0b"),
        ("description", "x" * 20_001),
        ("tags", "good;" + "x" * 65),
        ("tags", ";".join("t" for _ in range(101))),
        ("provider", "x" * 201),
        ("cover_image", "x" * 2049),
        ("created_at", NOW + timedelta(days=2)),
        ("created_at", datetime(1, 1, 1, tzinfo=UTC)),
        ("updated_at", datetime(9999, 12, 31, tzinfo=UTC)),
    ],
)
def test_an_unusable_optional_value_is_emptied_and_its_row_stays(tmp_path: Path, column: str, value: object) -> None:
    (finding,) = clean(*folders(tmp_path, datasets=[{"id": 300, "title": "T", column: value}]), NOW)
    assert (finding.check, finding.severity) == (f"datasets.unusable_{column}", "warning")
    (row,) = [row for row in pq.read_table(tmp_path / "clean" / "datasets.parquet").to_pylist() if row["id"] == 300]
    assert row[column] is None


def test_an_interaction_price_that_is_not_a_number_is_emptied(tmp_path: Path) -> None:
    rows = [interaction(0, ts=NOW - timedelta(seconds=5), price=math.nan)]
    (finding,) = clean(*folders(tmp_path, interactions=rows), NOW)
    assert finding.check == "interactions.unusable_price"
    found = pq.read_table(tmp_path / "clean" / "interactions.parquet")
    assert (found.num_rows, found["price"].null_count) == (401, 401)


def test_the_longest_texts_that_can_be_used_are_kept(tmp_path: Path) -> None:
    tags = ";".join(["字" * 64] * 100)
    row = {"id": 300, "title": "字" * 500, "description": "x" * 20_000, "tags": tags, "provider": "字" * 200}
    assert clean(*folders(tmp_path, datasets=[row]), NOW) == []


def test_future_rows_do_not_stop_a_run_while_others_are_left_and_hint_at_the_time_zone(tmp_path: Path) -> None:
    local = [interaction(n, ts=NOW + timedelta(hours=8) - timedelta(minutes=n)) for n in range(200)]
    (finding,) = clean(*folders(tmp_path, interactions=[*local, interaction(1, ts=NOW + timedelta(days=9))]), NOW)
    assert (finding.check, finding.severity) == ("interactions.future_ts", "warning")
    assert finding.details == (
        "201 of 601 interactions lie in the future by `ts`, such as 2026-03-01T08:00:00+00:00; they are left out; "
        "up to 8.0 h ahead: is `ts` a local time? select it with its offset, or set TIMEZONE"
    )
    assert pq.read_table(tmp_path / "clean" / "interactions.parquet").num_rows == 400


def test_a_senders_clock_may_run_five_minutes_ahead(tmp_path: Path) -> None:
    assert clean(*folders(tmp_path, interactions=[interaction(0, ts=NOW + timedelta(minutes=5))]), NOW) == []


def test_a_run_with_only_future_rows_is_stopped(tmp_path: Path) -> None:
    extracted, cleaned = folders(tmp_path)
    rows = [interaction(n, ts=NOW + timedelta(days=n + 1)) for n in range(100)]
    pq.write_table(pa.Table.from_pylist(rows, schema=INTERACTIONS), extracted / "interactions.parquet")
    with pytest.raises(DataError, match=r"interactions\.empty: no interactions are left to train on"):
        clean(extracted, cleaned, NOW)


def test_an_example_outside_of_the_calendar_is_shown_as_in_the_database(tmp_path: Path) -> None:
    extracted, cleaned = folders(tmp_path, interactions=[interaction(0, ts=datetime(1, 1, 1, tzinfo=UTC))])
    (extracted / OUTSIDE_CALENDAR).write_text('{"interactions.ts.first": "0044-03-15 BC"}', encoding="utf-8")
    (finding,) = clean(extracted, cleaned, NOW)
    assert finding.details == (
        "1 of 401 interactions lie before 1970-01-02 by `ts`, such as 0044-03-15 BC; they are left out; "
        "correct them at their source"
    )


@pytest.mark.parametrize("outlier", [datetime(1996, 3, 1, tzinfo=UTC), datetime(1970, 8, 23, tzinfo=UTC)])
def test_a_few_rows_years_away_from_the_rest_are_a_finding_and_stay(tmp_path: Path, outlier: datetime) -> None:
    rows = [interaction(n, ts=outlier + timedelta(hours=n)) for n in range(3)]
    (finding,) = clean(*folders(tmp_path, interactions=rows), NOW)
    assert (finding.check, finding.severity) == ("interactions.implausible_ts", "warning")
    assert finding.details.startswith("3 of 403 interactions are years away from the rest by `ts`, such as ")
    assert f"{outlier:%Y-%m-%d} (the rest: 2026-02-12 to 2026-02-28)" in finding.details
    assert pq.read_table(tmp_path / "clean" / "interactions.parquet").num_rows == 403


def test_a_deleted_dataset_is_left_out_with_its_interactions(tmp_path: Path) -> None:
    gone = {"id": 300, "title": "gone", "is_deleted": True}
    rows = [interaction(n, dataset_id=300) for n in range(5)]
    (finding,) = clean(*folders(tmp_path, datasets=[gone], interactions=rows), NOW)
    assert finding.check == "interactions.unknown_dataset"
    assert 300 not in pq.read_table(tmp_path / "clean" / "datasets.parquet")["id"].to_pylist()


def test_a_user_who_is_not_yet_in_the_users_table_is_kept(tmp_path: Path) -> None:
    (finding,) = clean(*folders(tmp_path, interactions=[interaction(0, user_id=900)]), NOW)
    assert (finding.check, finding.severity) == ("interactions.unknown_user", "info")
    assert 900 in pq.read_table(tmp_path / "clean" / "interactions.parquet")["user_id"].to_pylist()


def test_too_many_bad_rows_stop_the_run_and_are_reported_as_an_error(tmp_path: Path) -> None:
    bad = [interaction(n, type="like") for n in range(100)]
    with testing.captured() as reports, pytest.raises(DataError, match=r"interactions\.unknown_type: 100 of 500"):
        clean(*folders(tmp_path, interactions=bad), NOW)
    assert [report.level for report in reports] == ["error"]


def test_a_few_repeats_in_many_rows_are_left_out_without_a_warning(tmp_path: Path) -> None:
    """Double clicks are sound: only a share of repeats means that a source is read twice."""
    rows = [interaction(n, ts=NOW - timedelta(seconds=1_009 * n + 60)) for n in range(1_500)]
    with testing.captured() as reports:
        clean(*folders(tmp_path, interactions=[*rows, rows[5]]), NOW)
    assert ("data_quality", "interactions.duplicate") not in {report.fingerprint for report in reports}
    assert pq.read_table(tmp_path / "clean" / "interactions.parquet").num_rows == 1_900


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
def test_many_events_about_unknown_datasets_are_a_finding(tmp_path: Path, unknown: int, severities: list[str]) -> None:
    """Rows of the business tables are not counted; some of them may be about deleted datasets."""
    events = [interaction(500 + n, dataset_id=10**6 if n < unknown else 7) for n in range(200)]
    extracted, cleaned = folders(tmp_path, interactions=[interaction(0, dataset_id=10**6), *events])
    (extracted / COUNTS).write_text(json.dumps({"events": len(events)}))
    with testing.captured():
        clean(extracted, cleaned, NOW)
    report = json.loads((cleaned / "report.json").read_bytes())
    (finding,) = [found for found in report if found["check"] == "events.unknown_dataset"]
    assert ([finding["severity"]], finding["value"]) == (severities, unknown / 200)
    assert f"{unknown} of 200 events" in finding["details"]


def test_withdrawn_datasets_are_left_out_and_counted(tmp_path: Path) -> None:
    with testing.captured() as reports:
        (finding,) = clean(*folders(tmp_path), NOW, {150, 199, 10**12})
    assert (finding.check, finding.severity, finding.value) == ("datasets.withdrawn", "info", 2)
    assert [report.level for report in reports] == ["info"]
    kept = pq.read_table(tmp_path / "clean" / "datasets.parquet")["id"].to_pylist()
    assert len(kept) == 198
    assert {150, 199}.isdisjoint(kept)
