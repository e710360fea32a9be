"""Declared columns in a bundle, in the ranker's input and in an evaluation part."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.bundle import BundleManifest, FeatureSpec, UnreadableFeaturesError, check_features
from contracts.features import FEATURES, TRAINED_FEATURES, schema_of
from ranking.bundle import BundleContents, UnusableBundleError, load, save
from ranking.engine import Engine, RankingQuery
from ranking.evaluation import UnusablePartError, align, query_gains, read_part, write_part
from ranking.features import feature_matrix, item_table
from ranking.own_columns import OwnColumn, OwnColumns
from ranking.ranker import UnusableRankerError
from ranking.testing import Size, tiny_bundle, tiny_contents, tiny_part
from ranking.user import User, default_features

SMALL = Size(datasets=60, trees=3)
SIZE = OwnColumn(name="size", sql="1", type="number", default=0.5)
REGION = OwnColumn(name="region", sql="2", type="category", categories=("north", "south"))
OWN = OwnColumns(datasets=(REGION, SIZE), users=(SIZE, REGION))
NAMES = [
    "own_dataset_region",
    "own_dataset_size",
    "own_user_size",
    "own_user_region",
    "own_same_region",
    "own_gap_size",
]


@pytest.fixture(scope="module")
def contents() -> BundleContents:
    """A bundle whose datasets are of the regions 0, 1 and 2 in turn, and of rising size."""
    plain = tiny_contents(size=SMALL)
    n = len(plain.catalogue)
    rows = np.column_stack([np.arange(n) % 3, np.arange(n) / n]).astype(np.float32)
    content, provider, log_price, *_ = plain.table
    return replace(plain, own=OWN, table=item_table(content, provider, log_price, OWN, rows))


@pytest.fixture
def folder(contents: BundleContents, tmp_path: Path) -> Path:
    """Its files."""
    save(contents, tmp_path)
    return tmp_path


def own_columns_of(contents: BundleContents, user: User) -> tuple[np.ndarray, np.ndarray]:
    """Return the candidates of a user, and the declared columns of the ranker's input."""
    found = Engine(contents).recall(RankingQuery(user=user))
    matrix = feature_matrix(found, contents.item_rows[found.items], contents.table, anchor=None, user=user)
    return found.items, matrix[:, len(FEATURES) :]


@pytest.mark.parametrize(
    ("known", "size", "region"), [((), 0.5, 0.0), ((0.25,), 0.25, 0.0), ((0.25, 2.0), 0.25, 2.0), ((1, 1, 9), 1.0, 1.0)]
)
def test_columns_of_both_and_their_pairs_follow_the_built_in_features(
    contents: BundleContents, known: tuple[float, ...], size: float, region: float
) -> None:
    user = User(np.concatenate([default_features(), np.array(known, np.float32)]))
    items, columns = own_columns_of(contents, user)
    regions, sizes = contents.table.own[items].T
    assert list(OWN.names) == NAMES
    expected = (regions, sizes, size, region, (regions == region) & (region > 0), sizes - np.float32(size))
    for column, values in enumerate(expected):
        np.testing.assert_array_equal(columns[:, column], np.broadcast_to(values, len(items)))


def test_a_bundle_brings_its_columns_along(contents: BundleContents, folder: Path) -> None:
    found = load(folder)
    assert found.own == OWN
    np.testing.assert_array_equal(found.table.own, contents.table.own)
    assert Engine(found).feature_names == [*(feature.name for feature in FEATURES), *NAMES]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("datasets", [], r"own_columns\.npy: float32 \(60, 2\), expected float32 \(60, 0\)"),
        ("datasets", [SIZE.model_dump()] * 2, "size stands twice in datasets"),
        (
            "users",
            [SIZE.model_dump() | {"name": f"c{n}"} for n in range(17)],
            r"own_columns\.json: users: Tuple should",
        ),
        ("users", [REGION.model_dump() | {"categories": ["west"]}], "region of users is of another type"),
        ("users", [SIZE.model_dump() | {"default": 1e39}], r"own_columns\.json: users\.0\.default"),
    ],
)
def test_columns_that_do_not_fit_are_an_error(folder: Path, name: str, change: object, words: str) -> None:
    document = json.loads((folder / "own_columns.json").read_text("utf-8"))
    (folder / "own_columns.json").write_text(json.dumps(document | {name: change}), encoding="utf-8")
    with pytest.raises(UnusableBundleError, match=words):
        load(folder)


def test_a_ranker_of_columns_that_the_bundle_lacks_is_an_error(contents: BundleContents) -> None:
    text = contents.ranker_text.replace(" item_price ", " own_dataset_size ", 1)
    assert Engine(replace(contents, ranker_text=text)).ranker.method == "bit masks"
    with pytest.raises(UnusableRankerError, match="does not compute: own_dataset_size"):
        Engine(replace(tiny_contents(size=SMALL), ranker_text=text))


def test_only_declared_columns_with_a_definition_are_served(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path, size=SMALL)
    manifest = BundleManifest.model_validate_json((folder / "manifest.json").read_bytes())

    def named(*specs: FeatureSpec) -> BundleManifest:
        features = [*manifest.features, *specs]
        schema = schema_of(spec.feature() for spec in features)
        return manifest.model_copy(update={"features": features, "feature_schema": schema})

    check_features(named(*map(FeatureSpec.of, OWN.features)))
    for unknown in (
        FeatureSpec(name="own_dataset_size", dtype="float32", default=0.0),
        FeatureSpec(name="own_dataset_size", dtype="float64", default=0.0, definition="0" * 16),
        FeatureSpec(name="own_ratio_size", dtype="float32", default=0.0, definition="0" * 16),
        FeatureSpec.of(TRAINED_FEATURES[0]).model_copy(update={"definition": "0" * 16}),
    ):
        with pytest.raises(UnreadableFeaturesError, match=f"does not compute the features {unknown.name}"):
            check_features(named(unknown))


def test_a_definition_tells_columns_of_one_name_apart() -> None:
    others = [SIZE.model_copy(update=change) for change in ({"sql": "2"}, {"default": 0.0}, {"type": "category"})]
    recoded = REGION.model_copy(update={"categories": ("south", "north")})
    found = [column.feature("own_user_") for column in (SIZE, *others, REGION, recoded)]
    assert len({feature.definition for feature in found}) == len(found)


def test_a_part_brings_the_columns_along_and_each_model_is_scored_by_its_own(
    contents: BundleContents, tmp_path: Path
) -> None:
    part = tiny_part(queries=40, size=SMALL)
    twin = replace(part.twin, own=OWN, own_rows=contents.table.own)
    users = np.tile(np.array([0.25, 2.0], np.float32), (40, 1))
    features = np.concatenate([part.queries.features, users], axis=1)
    write_part(replace(part, twin=twin, queries=replace(part.queries, features=features)), tmp_path / "part.zip")
    read = read_part(tmp_path / "part.zip")
    assert read.twin.own == OWN
    np.testing.assert_array_equal(read.twin.own_rows, contents.table.own)
    np.testing.assert_array_equal(read.queries.features, features)
    # The ranker reads none of them.
    np.testing.assert_array_equal(query_gains(read, read.twin), query_gains(read, part.twin))
    other = align(read.twin, np.array([1, int(part.twin.ids[5])]))
    np.testing.assert_array_equal(other.own_rows, [[0.0, 0.5], contents.table.own[5]])


def test_columns_of_a_part_that_do_not_fit_are_an_error(contents: BundleContents, tmp_path: Path) -> None:
    part = tiny_part(queries=40, size=SMALL)
    twin = replace(part.twin, own=OWN, own_rows=contents.table.own)
    write_part(replace(part, twin=twin), tmp_path / "part.zip")
    with pytest.raises(UnusablePartError, match=r"features\.bin: 320 numbers, expected 400"):
        read_part(tmp_path / "part.zip")
