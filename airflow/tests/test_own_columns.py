"""Declared columns: what an expression may be, that a column with signal helps, and that a refresh keeps it."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.bundle import read_manifest
from contracts.snapshot import iter_users
from contracts.snapshot import read_manifest as read_snapshot
from contracts.user_blob import UserBlob
from pipeline.business import content
from pipeline.business.content import Content
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.cli import main
from pipeline.columns.evaluate import ColumnError, Ids, evaluate_columns
from pipeline.columns.values import Filled, fill_column, with_categories
from pipeline.columns.worker import UnusableExpressionError, connect, evaluate
from pipeline.errors import DataError, InputError
from pipeline.extract.columns import SCHEMAS
from pipeline.settings import Settings
from pipeline.steps.columns import check_declared_columns, columns, load_own_data
from pipeline.steps.refresh import columns as refresh_columns
from ranking import bundle
from ranking.engine import Engine
from ranking.evaluation import query_gains, read_part
from ranking.own_columns import MAX_CATEGORIES, OwnColumn, OwnColumns
from ranking.verification import verify

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
DATASETS, USERS, REGIONS = 120, 120, 40
IDS = Ids(np.array([1, 2, 3, 7]), np.array([5, 6]))
# Small enough to be trained within seconds.
CONFIG = """\
queries: {most: 160, negatives: 10}
history: {half_lives_days: [1000], recent_ranks: [12]}
ranker: {trees: 2}
gate: {simple_orders: false}
evaluation: {baselines: false, queries: 100}
columns:
  datasets:
    - name: quality
      sql: length(title)
      type: number
      default: 0.5
    - {name: region, sql: "regexp_extract(cover_image, '[0-9]+$')", type: category}
  users:
    - {name: quality, sql: length(company_name), type: number, default: 0.5}
    - {name: region, sql: province, type: category}
"""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tables: datasets 1, 2, 3 and 7, users 5 and 6, and some interactions."""
    folder = tmp_path_factory.mktemp("clean")
    rows: dict[str, list[dict[str, Any]]] = {
        "datasets": [
            {"id": 1, "title": "tides", "price": 10.0, "provider": "b"},
            {"id": 2, "title": "winds", "price": None, "provider": "a"},
            {"id": 3, "title": "snow", "price": float("inf"), "provider": "b"},
            {"id": 7, "title": "", "price": 1e300, "provider": "x" * 65},
        ],
        "users": [{"id": 5, "province": "b"}],
        "interactions": [
            {"user_id": 6, "dataset_id": dataset, "type": "view", "ts": AS_OF} for dataset in (1, 1, 2, 99)
        ],
    }
    for name, schema in SCHEMAS.items():
        pq.write_table(pa.Table.from_pylist(rows[name], schema), folder / f"{name}.parquet")
    return folder


def evaluated(clean: Path, declared: Sequence[tuple[str, str]], ids: Ids = IDS, **limits: float) -> list[Filled]:
    """Return columns of datasets by SQL and type; numbers have the default -1."""
    own = OwnColumns(
        datasets=tuple(
            OwnColumn(name=f"c{place}", sql=sql, type=kind, default=-1.0 if kind == "number" else 0.0)  # type: ignore[arg-type] # one of both
            for place, (sql, kind) in enumerate(declared)
        )
    )
    found = evaluate_columns(own, clean, ids, AS_OF, **limits)
    coded = with_categories(own, found).datasets
    return [fill_column(column, values) for column, values in zip(coded, found["datasets"], strict=True)]


def test_an_expression_gives_one_number_for_each_dataset(clean: Path) -> None:
    expected = {
        "length(title)": [5, 5, 4, 0],
        "price -- in euros": [10, -1, -1, -1],
        "price > 5": [1, -1, 1, 1],
        "SELECT dataset_id, count(*) FROM interactions GROUP BY dataset_id": [2, 1, -1, -1],
        "with n as (select 3 as id, 2.5 as v) from n": [-1, -1, 2.5, -1],
        "date_diff('day', TIMESTAMPTZ '2026-02-27', getvariable('as_of'))": [2, 2, 2, 2],
        "0 / 0": [-1, -1, -1, -1],
        "-- at night\n/* random() */ SELECT id, length('now()') FROM datasets": [5, 5, 5, 5],
        "NULL": [-1, -1, -1, -1],
    }
    found = evaluated(clean, [(sql, "number") for sql in expected])
    assert {sql: filled.column.tolist() for sql, filled in zip(expected, found, strict=True)} == expected
    assert [(filled.defaults, filled.not_finite) for filled in found[1:2]] == [(3, 2)]


def test_categories_get_codes_by_frequency_and_others_the_code_zero(clean: Path, tmp_path: Path) -> None:
    by_text, by_number = evaluated(clean, [("provider", "category"), ("NULLIF(id, 7)", "category")])
    assert by_text.column.tolist() == [1, 2, 1, 0]
    assert by_number.column.tolist() == [1, 2, 3, 0]
    many = [{"id": number, "title": "t"} for number in range(1, 400)]
    for name, schema in SCHEMAS.items():
        rows = pa.Table.from_pylist(many if name == "datasets" else [], schema)
        pq.write_table(rows, tmp_path / f"{name}.parquet")
    (filled,) = evaluated(tmp_path, [("id % 150", "category")], Ids(np.arange(1, 400), np.empty(0, np.int64)))
    assert sorted(set(filled.column.tolist())) == list(range(MAX_CATEGORIES + 1))


def test_columns_of_one_name_have_the_codes_in_common(clean: Path) -> None:
    both = {"datasets": "provider", "users": "province"}
    own = OwnColumns(**{half: (OwnColumn(name="c", sql=sql, type="category"),) for half, sql in both.items()})
    found = evaluate_columns(own, clean, IDS, AS_OF)
    coded = with_categories(own, found)
    assert coded.datasets[0].categories == coded.users[0].categories == ("b", "a")
    # User 6 is known by interactions alone.
    assert fill_column(coded.users[0], found["users"][0]).column.tolist() == [1, 0]


@pytest.fixture(scope="module")
def sandbox(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """The worker's database."""
    out = tmp_path_factory.mktemp("out")
    for half, ids in IDS._asdict().items():
        pq.write_table(pa.table({"id": ids}), out / f"ids_{half}.parquet")
    return connect({"clean": str(clean), "out": str(out), "as_of": AS_OF.isoformat(), "columns": []})


@pytest.mark.parametrize(
    ("sql", "kind", "words"),
    [
        ("nosuch", "number", 'column "nosuch" not found.* there are datasets: id, external_id, title, .*; users: id'),
        ("SELECT id, 1 FROM nosuch", "number", "nosuch does not exist.* there are datasets"),
        ("title", "number", "the value is VARCHAR, not a number"),
        ("price", "category", "the value is DOUBLE; a category is a text or a whole number"),
        ("price +", "number", "syntax error"),
        ("CAST(title AS INTEGER)", "number", "Could not convert string 'tides'"),
        ("SELECT id FROM datasets", "number", "two columns, the id and the value; this one has 1"),
        ("1), (2", "number", "two columns, the id and the value; this one has 3"),
        ("SELECT title, 1 FROM datasets", "number", "the first column of a SELECT is the id"),
        ("unnest([1, 2])", "number", "id 1 has 2 values, and 3 other ids have several"),
        ("1) FROM datasets; DROP TABLE datasets; SELECT (1", "number", "one SELECT, without a semicolon"),
        ("SELECT * FROM read_csv('/etc/passwd')", "number", "file system operations are disabled"),
        ("(SELECT content FROM read_text('/etc/passwd'))", "category", "file system operations are disabled"),
        ("SELECT * FROM '/etc/passwd'", "number", "does not exist"),
        ("SELECT 1, len(list(range)) FROM range(999999999)", "number", "more than 1500MB of memory: write a cheaper"),
        ("random()", "number", "random gives another value in each run; .* getvariable"),
        ("date_diff('day', created_at, Now ( ))", "number", "Now gives another value"),
        ("current_date - CAST(created_at AS DATE)", "number", "current_date gives another value"),
        ("SELECT 7 AS user_id, 1", "number", "the id of datasets; this is user_id"),
        ("created_at", "number", "the value is TIMESTAMP WITH TIME ZONE, not a number: cast it$"),
        ("price;", "number", "without a semicolon"),
    ],
)
def test_what_gives_no_value_for_each_dataset_is_an_error(
    sandbox: duckdb.DuckDBPyConnection, sql: str, kind: str, words: str
) -> None:
    with pytest.raises(UnusableExpressionError, match=words):
        evaluate(sandbox, "datasets", sql, kind)


@pytest.mark.parametrize(
    "sql",
    [
        "(WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a FROM r) SELECT count(*) FROM r)",
        "SELECT a.range, count(*) FROM range(9999999) a, range(9999999) b WHERE (a.range * b.range) % 7 = 3 GROUP BY 1",
        "length(repeat('x', 4000000000))",
    ],
)
def test_an_expression_without_end_is_stopped_and_named(clean: Path, sql: str) -> None:
    with pytest.raises(ColumnError, match=r"not done within 3 seconds|(?i:memory)") as caught:
        evaluated(clean, [("1", "number"), (sql, "number")], seconds=3.0)
    assert (caught.value.half, caught.value.place) == ("datasets", 1)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("columns:\n  datasets:\n    - {name: Price, sql: '1', type: number}\n", 3, "columns.datasets.0.name: String"),
        ("columns:\n  users:\n    - {name: a, sql: '1', type: text}\n", 3, "columns.users.0.type: Input should be"),
        ("columns:\n  users:\n    - {name: a, sql: '1', type: number, x: 1}\n", 3, "columns.users.0.x: Extra inputs"),
        (
            "columns:\n  datasets:\n    - {name: a, sql: '1', type: number}\n    - {name: a, sql: '2', type: number}\n",
            1,
            "columns: a stands twice in datasets",
        ),
        (
            "columns: {datasets: [{name: a, sql: '1', type: number}], users: [{name: a, sql: '1', type: category}]}\n",
            1,
            "columns: a of users is of another type",
        ),
        (
            "columns:\n  datasets: [{name: a, sql: '1', type: category, default: 3}]\n",
            2,
            "columns.datasets.0: a category has no default",
        ),
        (
            "columns:\n  datasets:\n    - name: a\n      sql: >-\n        titel\n      type: category\n",
            4,
            'columns.datasets.0.sql: Binder Error: Referenced column "titel" not found',
        ),
    ],
)
def test_a_mistake_in_the_file_is_found_before_the_run_and_has_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        check_declared_columns(Settings(pipeline_config=path))
    assert str(caught.value).startswith(f"PIPELINE_CONFIG: {path}:{line}: {words}")


def marketplace() -> Content:
    """Users take all datasets of their region, and others; too few have a region in common for votes to find it."""
    rng = np.random.default_rng(3)
    region_of_dataset, region_of_user = np.arange(DATASETS) % REGIONS, np.arange(USERS) % REGIONS
    created = AS_OF - timedelta(days=90)
    datasets: dict[str, list[Any]] = {name: [None] * DATASETS for name in content.DATASETS.names}
    datasets |= {
        "external_id": [str(number + 1) for number in range(DATASETS)],
        "title": [f"dataset {number}" for number in range(DATASETS)],
        "cover_image": [f"https://img.example.com/{region}" for region in region_of_dataset],
        "created_at": [created] * DATASETS,
        "is_deleted": [False] * DATASETS,
    }
    users: dict[str, list[Any]] = {name: [None] * USERS for name in content.USERS.names}
    users |= {
        "external_id": [str(number + 1) for number in range(USERS)],
        "company_name": [f"company {number}" for number in range(USERS)],
        "province": [str(region) for region in region_of_user],
        "created_at": [created] * USERS,
    }
    # The last user has no interaction.
    taken = [
        [*np.flatnonzero(region_of_dataset == region), *rng.choice(DATASETS, 5, replace=False)]
        for region in region_of_user[:-1]
    ]
    count = sum(map(len, taken))
    interactions = {
        "user": np.repeat(np.arange(USERS - 1), len(taken[0])).tolist(),
        "dataset": np.concatenate(taken).tolist(),
        "type": ["view"] * count,
        "price": [None] * count,
        "ts": [created + timedelta(seconds=int(second)) for second in rng.integers(0, 89 * 86_400, count)],
    }
    return Content(
        pa.table(users, schema=content.USERS),
        pa.table(datasets, schema=content.DATASETS),
        pa.table(interactions, schema=content.INTERACTIONS),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with declared columns."""
    folder = tmp_path_factory.mktemp("own")
    engine = open_engine(f"sqlite:///{folder}/business.db", "X")
    replace_content(engine, marketplace())
    engine.dispose()
    (folder / "pipeline.yaml").write_text(CONFIG, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "BUSINESS_DATABASE_URL": f"sqlite:///{folder}/business.db",
            "ARTIFACT_URL": f"{folder}/artifacts",
            "PIPELINE_CONFIG": f"{folder}/pipeline.yaml",
        }.items():
            patch.setenv(name, value)
        assert main(["run", "--no-publish", "--run-id", "own", "--as-of", AS_OF.isoformat()]) == 0
    return folder / "artifacts" / "runs" / "own"


def test_columns_with_signal_lift_ndcg(run: Path) -> None:
    part = read_part(run / "evaluation_part" / "evaluation.zip")
    with_columns = query_gains(part, part.twin).mean()
    defaults = np.zeros_like(part.twin.own_rows)
    assert with_columns > 1.5 * query_gains(part, replace(part.twin, own_rows=defaults)).mean()
    compared = json.loads((run / "model" / "order.json").read_text("utf-8"))["comparison"]
    assert compared["ranker"] > 1.5 * compared["simple"]


def test_the_bundle_has_the_columns_and_answers_by_them(run: Path) -> None:
    folder = run / "bundle" / "contents"
    contents, manifest = bundle.load(folder), read_manifest(folder)
    names = [spec.name for spec in manifest.features if spec.definition is not None]
    assert names == [
        "own_dataset_quality",
        "own_dataset_region",
        "own_user_quality",
        "own_user_region",
        "own_gap_quality",
        "own_same_region",
    ]
    assert sorted(contents.own.datasets[1].categories, key=int) == [str(region) for region in range(REGIONS)]
    np.testing.assert_array_equal(contents.table.own, load_own_data(str(run), DATASETS, USERS).datasets)
    assert verify(Engine(contents)) > 0


def test_the_snapshot_has_the_columns_of_all_users_and_names_them(run: Path) -> None:
    folder = run.parents[1] / "snapshots" / "own"
    manifest = read_snapshot(folder)
    assert manifest.user_features is not None
    engine = Engine(bundle.load(run / "bundle" / "contents"))
    assert tuple(spec.feature() for spec in manifest.user_features) == engine.user_features
    blobs = [UserBlob.unpack(blob) for batch in iter_users(folder, manifest) for _, blob in batch]
    own = load_own_data(str(run), DATASETS, USERS).users
    np.testing.assert_array_equal([blob.features[-2:] for blob in blobs], own)
    assert len(blobs[-1].history) == 0


def test_a_refresh_evaluates_the_columns_of_the_model_in_service_by_their_codes(run: Path, tmp_path: Path) -> None:
    refresh = tmp_path / "runs" / "refresh"
    shutil.copytree(run / "clean", refresh / "clean")
    shutil.copy(run / "run.json", refresh / "run.json")
    (refresh / "model").mkdir()
    declared = json.loads((run / "bundle" / "contents" / "own_columns.json").read_text("utf-8"))
    declared["datasets"][1]["categories"] = declared["users"][1]["categories"] = ["2", "gone", "0"]
    (refresh / "model" / "own_columns.json").write_text(json.dumps(declared), encoding="utf-8")
    refresh_columns(Settings(), str(refresh))
    found = load_own_data(str(refresh), DATASETS, USERS)
    assert found.columns == OwnColumns.model_validate(declared)
    assert found.datasets[:3, 1].tolist() == [3, 0, 1]


def test_a_value_that_breaks_a_sound_expression_is_an_error_of_the_data(run: Path, tmp_path: Path) -> None:
    broken, path = tmp_path / "runs" / "broken", tmp_path / "pipeline.yaml"
    shutil.copytree(run / "clean", broken / "clean")
    shutil.copy(run / "run.json", broken / "run.json")
    path.write_text(
        "columns:\n  datasets:\n    - {name: a, sql: 'CAST(title AS INTEGER)', type: number}\n", encoding="utf-8"
    )
    settings = Settings(pipeline_config=path)
    check_declared_columns(settings)
    with pytest.raises(DataError) as caught:
        columns(settings, str(broken))
    where = f"PIPELINE_CONFIG: {path}:3: columns.datasets.0.sql: Conversion Error: Could not convert string 'dataset 0'"
    assert str(caught.value).startswith(where)
    assert not (broken / "columns").exists()
