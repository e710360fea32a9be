"""The relational queries of the data steps on the local engine, and how the engine is chosen."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from contracts.events import InteractionType
from pipeline.business.content import TIME
from pipeline.errors import EarlierReleaseError, EngineError, InputError
from pipeline.extract.columns import DATASETS, INTERACTIONS, USERS
from pipeline.ordered_rows import load_ordered_rows, write_ordered_rows
from pipeline.quality.profiling import Tables, profile_tables
from pipeline.quality.repeated_rows import repeated_rows
from pipeline.relational import LocalEngine, Table, check_engine, open_engine
from pipeline.settings import Settings
from pipeline.steps import RunInfo, begin_run

_SECOND = 1_000_000
_START = 1_772_000_000


def _write_tables(folder: Path, rows: list[tuple[int, int, str, int]]) -> None:
    user, dataset, kind, ts = zip(*rows, strict=True) if rows else ([], [], [], [])
    tables = {
        "users": {"id": pa.array([7, 900], pa.int64())},
        "datasets": {"id": pa.array([30, 10, 20], pa.int64())},
        "interactions": {
            "user_id": pa.array(user, pa.int64()),
            "dataset_id": pa.array(dataset, pa.int64()),
            "type": pa.array(kind, pa.string()),
            "ts": pa.array([_START * _SECOND + each for each in ts], pa.timestamp("us", tz="UTC")),
        },
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def test_rows_are_in_the_order_of_second_user_item_and_type(tmp_path: Path) -> None:
    rows = [
        (8, 10, "purchase", 5 * _SECOND),
        (8, 10, "click", 5 * _SECOND + 999_999),
        (7, 30, "view", 5 * _SECOND + 999_999),
        (7, 20, "view", 5 * _SECOND + 1),
        (9, 30, "favorite", _SECOND),
        (6, 10, "exposure", 0),
        (7, 10, "exposure", 2 * _SECOND),
    ]
    _write_tables(tmp_path, rows)
    write_ordered_rows(LocalEngine(tmp_path), tmp_path)
    found = load_ordered_rows(tmp_path)
    # User 6 has only an exposure; user 900 has no interaction.
    assert found.user_ids.tolist() == [7, 8, 9, 900]
    assert list(zip(*(each.tolist() for each in found[1:]), strict=True)) == [
        (2, 2, _START + 1, InteractionType.FAVORITE),
        (0, 1, _START + 5, InteractionType.VIEW),
        (0, 2, _START + 5, InteractionType.VIEW),
        (1, 0, _START + 5, InteractionType.CLICK),
        (1, 0, _START + 5, InteractionType.PURCHASE),
    ]


def test_rows_that_differ_only_in_type_are_in_the_order_of_its_code(tmp_path: Path) -> None:
    names = [kind.name.lower() for kind in InteractionType if kind != InteractionType.EXPOSURE]
    _write_tables(tmp_path, [(7, 10, names[number * 7 % len(names)], number) for number in range(1_000)])
    write_ordered_rows(LocalEngine(tmp_path), tmp_path)
    types = load_ordered_rows(tmp_path).types
    assert len(types) == 1_000
    assert (np.diff(types.astype(int)) >= 0).all()


def test_seconds_are_rounded_down_also_before_1970(tmp_path: Path) -> None:
    moments = pa.array([-1_500_001, -1_000_000, -1, 0, 1_500_000], pa.timestamp("us", tz="UTC"))
    batches = LocalEngine(tmp_path).query(
        "SELECT unix_seconds(ts) AS seconds FROM rows", {"rows": pa.table({"ts": moments})}
    )
    assert pa.Table.from_batches(batches)["seconds"].to_pylist() == [-2, -1, -1, 0, 1]


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?"])
def test_a_path_is_not_a_pattern(tmp_path: Path, name: str) -> None:
    for folder, user in ((name, 1), ("a1", 2)):
        (tmp_path / folder).mkdir()
        pq.write_table(pa.table({"id": [user]}), tmp_path / folder / "users.parquet")
    batches = LocalEngine(tmp_path).query("SELECT id FROM users", {"users": tmp_path / name / "users.parquet"})
    assert pa.Table.from_batches(batches)["id"].to_pylist() == [1]


def test_without_interactions_the_arrays_are_empty(tmp_path: Path) -> None:
    _write_tables(tmp_path, [])
    write_ordered_rows(LocalEngine(tmp_path), tmp_path)
    found = load_ordered_rows(tmp_path)
    assert found.user_ids.tolist() == [7, 900]
    assert [len(each) for each in found[1:]] == [0, 0, 0, 0]


def test_the_stored_arrays_cannot_be_changed_through_a_loaded_one(tmp_path: Path) -> None:
    _write_tables(tmp_path, [(7, 10, "click", 0)])
    write_ordered_rows(LocalEngine(tmp_path), tmp_path)
    load_ordered_rows(tmp_path).ts[0] = 0
    assert load_ordered_rows(tmp_path).ts.tolist() == [_START]


class _Batches:
    """The local engine, with its batches of ordered rows passed through a function."""

    def __init__(self, folder: Path, change: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]) -> None:
        self._local, self._change = LocalEngine(folder), change

    def query(self, sql: str, tables: Mapping[str, Table]) -> Iterator[pa.RecordBatch]:
        batches = self._local.query(sql, tables)
        return self._change(batches) if "user_places" in tables else batches


def test_the_files_grow_with_their_rows_so_that_a_full_disk_is_an_error_of_a_write(tmp_path: Path) -> None:
    sizes = []

    def watch(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            sizes.append((tmp_path / "ts.npy").stat().st_size)
            yield batch

    _write_tables(tmp_path, [(7, 10, "click", each) for each in range(1_000)])
    write_ordered_rows(_Batches(tmp_path, watch), tmp_path)
    assert sizes[0] < 1_000 * 8 < (tmp_path / "ts.npy").stat().st_size
    np.save(tmp_path / "expected.npy", load_ordered_rows(tmp_path).ts)
    assert (tmp_path / "ts.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()


def test_fewer_rows_than_interactions_are_an_error(tmp_path: Path) -> None:
    _write_tables(tmp_path, [(7, 10, "click", 0), (7, 20, "click", _SECOND)])
    with pytest.raises(EngineError, match="1 of 2 interactions"):
        write_ordered_rows(_Batches(tmp_path, lambda batches: (each.slice(1) for each in batches)), tmp_path)


def test_a_run_of_an_earlier_release_has_no_ordered_rows(tmp_path: Path) -> None:
    with pytest.raises(EarlierReleaseError, match="repeat the step `quality`"):
        load_ordered_rows(tmp_path)


def test_of_rows_with_equal_keys_all_but_the_first_are_repeated(tmp_path: Path) -> None:
    # In chunks, as tables are read: the first row is that of the whole table.
    parts = [
        pa.table({"id": [3, 1, 3], "title": ["a", "b", "c"]}),
        pa.table({"id": [1, 2, 3], "title": ["b", "e", "a"]}),
    ]
    table = pa.concat_tables(parts)
    assert repeated_rows(LocalEngine(tmp_path), table, ["id"]).to_pylist() == [False, False, True, True, False, True]
    both = repeated_rows(LocalEngine(tmp_path), table, ["id", "title"]).to_pylist()
    assert both == [False, False, False, True, False, True]
    assert repeated_rows(LocalEngine(tmp_path), table.slice(0, 0), ["id"]).to_pylist() == []


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_interactions_are_counted_by_the_days_and_hours_of_a_time_zone(tmp_path: Path, zone: str) -> None:
    rng = np.random.default_rng(3)
    # Around a change of summer time, and before 1970.
    moments = np.concatenate([_START + rng.integers(-90_000, 40 * 86_400, 3_000), [-1, -900, -901, 0]]) * _SECOND
    kinds = rng.choice(["view", "purchase", "exposure"], len(moments))
    interactions = {field.name: pa.nulls(len(moments), field.type) for field in INTERACTIONS} | {
        "ts": pa.array(moments + rng.integers(0, _SECOND, len(moments)), TIME),
        "type": kinds,
    }
    tables = Tables(DATASETS.empty_table(), USERS.empty_table(), pa.table(interactions, schema=INTERACTIONS))
    found = profile_tables(tables, datetime.now(UTC), zone, {}, LocalEngine(tmp_path)).activity

    local = [each.astimezone(ZoneInfo(zone)) for each in tables.interactions["ts"].to_pylist()]
    last = max(local).date()
    recent = [each for each in local if last - timedelta(days=7) <= each.date() < last]
    by_day = Counter((each.date(), kind) for each, kind in zip(local, kinds, strict=True))
    assert {(day, kind): count for day, kinds in found.by_day.items() for kind, count in kinds.items()} == by_day
    assert found.by_type == Counter(kinds)
    for hours, counted in ((found.by_hour, local), (found.recent_by_hour, recent)):
        assert hours == [sum(each.hour == hour for each in counted) for hour in range(24)]
    assert (found.first, found.newest) == (min(local), max(local))


def test_a_sort_larger_than_the_memory_limit_uses_the_disk(tmp_path: Path) -> None:
    numbers = np.random.default_rng(11).permutation(8_000_000)
    table = pa.table({"number": numbers, "padding": numbers * 3})
    sql = "SELECT number, padding FROM numbers ORDER BY number"
    batches = LocalEngine(tmp_path, "96MB").query(sql, {"numbers": table})
    first = next(batches)
    # Where the next try of a killed step removes it.
    assert sum(each.stat().st_size for each in tmp_path.rglob("*") if each.is_file()) > 0
    found = pa.Table.from_batches([first, *batches])
    assert not any(tmp_path.iterdir())
    assert np.array_equal(found["number"].to_numpy(), np.arange(len(numbers)))
    assert np.array_equal(found["padding"].to_numpy(), np.arange(len(numbers)) * 3)


def test_the_error_of_the_engine_is_one_of_the_pipeline(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="DuckDB"):
        list(LocalEngine(tmp_path).query("SELECT id FROM users", {"users": tmp_path / "missing.parquet"}))


def test_without_a_url_the_engine_is_local(tmp_path: Path) -> None:
    check_engine(None, "s3://bucket/artifacts")
    with open_engine(None, tmp_path) as engine:
        assert isinstance(engine, LocalEngine)


@pytest.mark.parametrize(
    ("artifact_url", "message"),
    [("s3://bucket/artifacts", "a folder that all workers see"), ("artifacts", "pyspark is not installed here")],
)
def test_a_run_does_not_begin_if_its_cluster_cannot_be_used(tmp_path: Path, artifact_url: str, message: str) -> None:
    url = artifact_url if "://" in artifact_url else str(tmp_path / artifact_url)
    settings = Settings(pipeline_engine_url="spark://127.0.0.1:7077", artifact_url=url)
    now = datetime(2026, 3, 1, tzinfo=UTC)
    with pytest.raises(InputError, match=message):
        begin_run(settings, RunInfo(run_id="nightly", as_of=now, started_at=now, publish=False))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["spark://host:7077", "spark://one:7077,two.internal:7078"])
def test_a_cluster_is_named_by_its_masters(url: str) -> None:
    assert Settings(pipeline_engine_url=url).pipeline_engine_url == url


@pytest.mark.parametrize(
    "url",
    ["spark://", "spark://host", "spark://a b:1", "spark://host:7077/", "spark://one:7077,two", "spark://host:7077\n"],
)
def test_another_address_of_a_cluster_is_rejected_with_an_example(url: str) -> None:
    with pytest.raises(ValidationError, match="a cluster is spark://host:7077"):
        Settings(pipeline_engine_url=url)
