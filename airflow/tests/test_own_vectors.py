"""The user's own vectors: what a file may hold, what its errors say, and that the channel `vector` is made of them."""

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.arrays import load_neighbours
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.cli import main
from pipeline.demo import DemoSize, generate
from pipeline.errors import InputError
from pipeline.recall import own_neighbours, read_own_vectors
from pipeline.records import Records
from pipeline.settings import Settings
from pipeline.steps import step_of
from pipeline.steps.refresh import recall as refresh_recall
from pipeline.steps.served_model import Refreshed
from ranking import bundle
from ranking.engine import Engine
from ranking.verification import verify

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIMENSION = 8


def written(path: Path, ids: Sequence[Any], vectors: Any, **columns: Any) -> Path:
    pq.write_table(pa.table({"dataset_id": ids, "vector": vectors} | columns), path)
    return path


def some_vectors(count: int, seed: int = 1) -> list[list[float]]:
    vectors: list[list[float]] = np.random.default_rng(seed).normal(size=(count, DIMENSION)).tolist()
    return vectors


def test_vectors_lie_in_the_catalogues_order_and_have_length_one(records: Records, tmp_path: Path) -> None:
    ids = records.catalogue.ids
    vectors = some_vectors(len(ids))
    found = read_own_vectors(written(tmp_path / "v.parquet", ids[::-1], vectors[::-1]), records.catalogue)
    given = np.array(vectors)
    np.testing.assert_allclose(found.rows, given / np.linalg.norm(given, axis=1, keepdims=True), rtol=1e-5)
    assert (found.missing, found.unknown) == (0, 0)


def test_missing_and_unknown_datasets_are_allowed_and_counted(records: Records, tmp_path: Path) -> None:
    ids = [*records.catalogue.ids[:10].tolist(), 10**15, "SKU-unknown"]
    with pytest.raises(pa.ArrowException):
        pa.array(ids)
    texts = [str(each) for each in ids]
    vectors = some_vectors(12)
    vectors[3] = [0.0] * DIMENSION
    found = read_own_vectors(written(tmp_path / "v.parquet", texts, vectors), records.catalogue)
    assert found.missing == len(records.catalogue) - 9
    assert found.unknown == 2
    table = own_neighbours(found.rows)
    assert (table.items[10:] == -1).all()
    assert (table.items[3] == -1).all()
    assert set(table.items.ravel()) - {-1} <= set(range(10)) - {3}


def test_the_length_of_a_vector_does_not_matter_however_large(records: Records, tmp_path: Path) -> None:
    ids, vectors = records.catalogue.ids[:5], np.array(some_vectors(5))
    small, large = (
        read_own_vectors(written(tmp_path / name, ids, (vectors * scale).tolist()), records.catalogue).rows
        for name, scale in (("small.parquet", 1e-30), ("large.parquet", 1e300))
    )
    np.testing.assert_allclose(small, large, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(large[:5], axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        ([1, 2], [[1.0, 2.0], [1.0]], "row 2: vector has 1 numbers, row 1 has 2"),
        ([1, 2], [[1.0, 2.0], None], "row 2: vector has 0 numbers, row 1 has 2"),
        ([1, 2], [[1.0], [math.nan]], "row 2: vector has a number that is missing or not finite"),
        ([1, 2], [[1.0], [math.inf]], "row 2: vector has a number that is missing or not finite"),
        ([1, 2], [[1.0], [None]], "row 2: vector has a number that is missing or not finite"),
        ([1, 2], pa.array([[], []], pa.list_(pa.float32())), "row 1: vector has 0 numbers; 1 to 4096 are possible"),
        ([1, 1], [[1.0], [2.0]], "row 2: dataset_id 1 stands in row 1, too"),
        ([1, 0], [[1.0], [2.0]], "row 2: dataset_id: a numeric id lies between 1 and"),
        ([1, None], [[1.0], [2.0]], "row 2: dataset_id: an id is a whole number or a text"),
        ([1, 2], ["a", "b"], "vector is of type string; write a list of float"),
        (pa.array([], pa.int64()), pa.array([], pa.list_(pa.float32())), "no rows"),
    ],
)
def test_an_error_names_the_file_the_row_and_what_is_wrong(
    records: Records, tmp_path: Path, ids: Sequence[Any], vectors: Any, message: str
) -> None:
    path = written(tmp_path / "v.parquet", ids, vectors)
    with pytest.raises(InputError) as caught:
        read_own_vectors(path, records.catalogue)
    assert str(caught.value).startswith(f"DATASET_VECTORS: {path}: {message}")


def test_a_file_that_is_none_of_vectors_is_an_error(records: Records, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"id": [1], "vector": [[1.0]]}), other)
    with pytest.raises(InputError, match="no column dataset_id; there are id, vector"):
        read_own_vectors(other, records.catalogue)
    other.write_text("dataset_id,vector", encoding="utf-8")
    with pytest.raises(InputError, match="this is no Parquet file"):
        read_own_vectors(other, records.catalogue)
    with pytest.raises(InputError, match=r"none\.parquet: cannot be read: "):
        read_own_vectors(tmp_path / "none.parquet", records.catalogue)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with own vectors of its first 100 datasets; beside it are its files and settings."""
    folder = tmp_path_factory.mktemp("own")
    content = generate(DemoSize(datasets=120, users=150, interactions=4000), 42, AS_OF)
    engine = open_engine(f"sqlite:///{folder}/business.db", "X")
    replace_content(engine, content)
    engine.dispose()
    (folder / "pipeline.yaml").write_text(
        "queries: {most: 200}\nevaluation: {global_split: false, baselines: false}\n"
        # Serving computes other features from the first, and fills short answers by the second.
        "features: {leave_out: [item_popularity_1d, item_popularity_7d]}\n",
        encoding="utf-8",
    )
    written(folder / "vectors.parquet", list(range(1, 101)), some_vectors(100))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "BUSINESS_DATABASE_URL": f"sqlite:///{folder}/business.db",
            "ARTIFACT_URL": f"{folder}/artifacts",
            "PIPELINE_CONFIG": f"{folder}/pipeline.yaml",
            "DATASET_VECTORS": f"{folder}/vectors.parquet",
        }.items():
            patch.setenv(name, value)
        assert main(["run", "--no-publish", "--run-id", "own", "--as-of", AS_OF.isoformat()]) == 0
    return folder / "artifacts" / "runs" / "own"


def test_the_bundle_proposes_by_own_vectors_and_its_manifest_says_so(trained: Path) -> None:
    contents = bundle.load(trained / "bundle" / "contents")
    expected = own_neighbours(np.load(trained / "features" / "own_vectors.npy"))
    np.testing.assert_array_equal(contents.recall.vector.items, expected.items)
    np.testing.assert_array_equal(contents.recall.vector.scores, expected.scores)
    for name in ("recall_heldout", "recall_earlier"):
        np.testing.assert_array_equal(load_neighbours(trained / name, "vector").items, expected.items)
    assert verify(Engine(contents)) > 0
    manifest = json.loads((trained / "bundle" / "contents" / "manifest.json").read_text("utf-8"))
    assert manifest["config"]["dataset_vector_length"] == DIMENSION


def test_other_vectors_repeat_the_steps_from_the_features_on() -> None:
    assert "dataset_vectors" in step_of("features").settings


def refreshing(trained: Path, config: dict[str, Any] | None) -> tuple[Settings, str]:
    """Lay a refresh of a model with this configuration over the data of the run."""
    refreshed = Refreshed(refreshes="1", active="1", active_bundle="x", metrics={}, config=config)
    (trained / "model" / "refreshed.json").write_text(refreshed.model_dump_json(), encoding="utf-8")
    return Settings(artifact_url=str(trained.parents[1])), str(trained)


def test_a_refresh_takes_own_vectors_if_its_model_was_trained_with_some(trained: Path) -> None:
    own = load_neighbours(trained / "recall", "vector")
    refresh_recall(*refreshing(trained, {"dataset_vector_length": DIMENSION}))
    np.testing.assert_array_equal(load_neighbours(trained / "recall", "vector").items, own.items)
    refresh_recall(*refreshing(trained, None))
    assert load_neighbours(trained / "recall", "vector").items.tolist() != own.items.tolist()


def test_a_refresh_without_the_vectors_of_its_model_says_what_to_do(trained: Path) -> None:
    with pytest.raises(InputError, match=f"vectors of {DIMENSION} numbers; .* was trained with 16"):
        refresh_recall(*refreshing(trained, {"dataset_vector_length": 16}))
    own = trained / "features" / "own_vectors.npy"
    hidden = own.rename(own.with_suffix(".hidden"))
    try:
        with pytest.raises(InputError, match="the model in service was trained with own vectors: set it"):
            refresh_recall(*refreshing(trained, {"dataset_vector_length": DIMENSION}))
    finally:
        hidden.rename(own)
