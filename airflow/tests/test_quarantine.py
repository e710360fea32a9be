"""Rows and values that a run leaves out are listed with reason and advice, and enter again once they are corrected."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.cli import main
from pipeline.demo import DemoSize, generate
from pipeline.quality.checks import Check
from pipeline.quality.quarantine import MAX_ROWS_PER_CHECK, Quarantine, read_quarantine
from pipeline.settings import Settings
from pipeline.steps import RunInfo, begin_run, load_quarantine, run_step, step_of

NOW = datetime.now(UTC).replace(microsecond=0)
BAD = (
    "UPDATE datasets SET price = -1 WHERE id = 3",
    "UPDATE datasets SET tags = 'a' || char(1) WHERE id = 4",
    "UPDATE interactions SET ts = '1969-01-01 00:00:00' WHERE id IN (5, 6)",
)
CORRECTED = (
    "UPDATE datasets SET price = 10, tags = 'a' WHERE id IN (3, 4)",
    "UPDATE interactions SET ts = '2026-01-01 00:00:00' WHERE id IN (5, 6)",
)


@pytest.fixture
def clean_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Change the business database, and run the pipeline up to the clean tables; returns the run's address."""
    url = f"sqlite:///{tmp_path / 'business.db'}"
    monkeypatch.setenv("BUSINESS_DATABASE_URL", url)
    monkeypatch.setenv("ARTIFACT_URL", str(tmp_path / "artifacts"))
    engine = open_engine(url, "X")
    replace_content(engine, generate(DemoSize(datasets=100, users=50, interactions=1_500), 7, NOW))

    def run(name: str, *statements: str) -> str:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        made = begin_run(Settings(), RunInfo(run_id=name, as_of=NOW, started_at=NOW))
        for step in ("extract", "quality"):
            run_step(Settings(), made, step_of(step))
        return made

    return run


def test_rejected_rows_and_values_are_kept_with_reason_and_advice_and_enter_again_once_corrected(
    clean_run: Callable[..., str],
) -> None:
    found = load_quarantine(clean_run("bad", *BAD))
    assert {(each.check, each.left_out, each.row["id" if each.table == "datasets" else "ts"]) for each in found} == {
        ("datasets.negative_price", "row", 3),
        ("datasets.unusable_tags", "tags", 4),
        ("interactions.early_ts", "row", "1969-01-01T00:00:00+00:00"),
        *(("interactions.unknown_dataset", "row", each.row["ts"]) for each in found if each.row.get("dataset_id") == 3),
    }
    (tags,) = (each for each in found if each.check == "datasets.unusable_tags")
    assert (tags.table, tags.row["tags"], tags.advice) == ("datasets", "a\x01", "tags are separated by ;")
    assert "control character" in tags.reason
    corrected = clean_run("corrected", *CORRECTED)
    assert load_quarantine(corrected) == []
    datasets = pq.read_table(Path(corrected) / "clean" / "datasets.parquet").to_pylist()
    assert [(each["price"], each["tags"]) for each in datasets if each["id"] in {3, 4}] == [(10, "a")] * 2


def test_the_command_shows_the_rows_of_each_check_and_where_to_correct_them(
    clean_run: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    clean_run("bad", *BAD)
    assert main(["quarantine", "--run-id", "bad", "--check", "interactions.early_ts"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("interactions.early_ts: 2 interactions lie before 1970-01-02 by `ts`; correct them")
    assert [json.loads(line)["ts"] for line in lines[1:3]] == ["1969-01-01T00:00:00+00:00"] * 2
    assert lines[3:] == ["correct them in the database or in EXTRACTION_SQL; the next run reads them again"]
    assert main(["quarantine", "--run-id", "bad", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {each["check"] for each in found} >= {"datasets.negative_price", "datasets.unusable_tags"}
    assert main(["quarantine", "--run-id", "other"]) == 2


def test_a_check_that_rejects_all_rows_of_a_large_table_keeps_the_first_ones(tmp_path: Path) -> None:
    rows = pa.table({"price": pa.array([float("nan")] * (MAX_ROWS_PER_CHECK + 5))})
    quarantine = Quarantine()
    quarantine.add_rows("datasets", Check("c", "have a price", lambda table: table["price"], 1.0, "price"), rows, "a")
    quarantine.write(tmp_path)
    found = read_quarantine(tmp_path)
    assert (len(found), found[0].row) == (MAX_ROWS_PER_CHECK, {"price": "nan"})
