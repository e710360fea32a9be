"""A bundle of the first release loads and answers as it did there."""

from pathlib import Path

import numpy as np
import pytest

from contracts.bundle import BundleManifest, check_features, unpack
from contracts.features import CHANNELS, ITEM_FEATURES, VOTING_CHANNELS
from ranking.bundle import BundleContents, load, save
from ranking.engine import Engine, RankingQuery
from ranking.evaluation import model_of_bundle, query_gains
from ranking.ranker import feature_names
from ranking.testing import Size, tiny_part
from ranking.verification import answer, verify

ARCHIVE = Path(__file__).parent / "data" / "first_release.tar.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Its files."""
    unpack(ARCHIVE, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def contents(folder: Path) -> BundleContents:
    """Its contents."""
    return load(folder)


@pytest.fixture
def manifest(tmp_path: Path) -> BundleManifest:
    """Its manifest."""
    return unpack(ARCHIVE, tmp_path / "again")


def test_its_features_are_computed(manifest: BundleManifest) -> None:
    check_features(manifest)
    assert manifest.feature_schema == "e98a244902e8ff2e"


@pytest.mark.parametrize("method", ["bit masks", "LightGBM"])
def test_its_golden_answers_are_given_bit_for_bit(contents: BundleContents, method: str) -> None:
    engine = Engine(contents)
    assert engine.ranker.method == "bit masks"
    if method == "LightGBM":
        engine.ranker.forest = None
    assert verify(engine) == len(contents.golden) == 10
    for request in contents.golden:
        ids, scores = answer(engine, request, len(request.expected_ids))
        assert ids == request.expected_ids
        assert np.float32(scores).tolist() == np.float32(request.expected_scores).tolist()


def test_item_features_that_it_does_not_have_are_zero(contents: BundleContents, folder: Path) -> None:
    names = [feature.name for feature in ITEM_FEATURES]
    own = [names.index(name) for name in feature_names(contents.ranker_text) if name in names]
    assert own == list(range(10))
    np.testing.assert_array_equal(contents.item_rows[:, own], np.load(folder / "item_rows.npy"))
    assert not contents.item_rows[:, 10:].any()


def test_the_channels_that_it_does_not_have_propose_nothing(contents: BundleContents) -> None:
    engine = Engine(contents)
    history = contents.golden[1].history()
    found = engine.recall(RankingQuery(3, engine.user(None, history.packed())))
    assert len(history)
    for channel in ("recent", "transition", "popular_30d"):
        assert contents.recall_settings.size_of(channel) == 0
        assert not found.ranks[:, CHANNELS.index(channel)].any()
    for channel in ("recent", "transition"):
        assert not found.votes[:, VOTING_CHANNELS.index(channel)].any()


def test_the_time_of_a_query_does_not_change_its_answer(contents: BundleContents) -> None:
    engine = Engine(contents)
    for request in contents.golden:
        later = request.model_copy(update={"at": 1_800_000_000})
        assert answer(engine, later, 10) == answer(engine, request, 10)


def test_it_is_written_again_with_the_same_item_features(
    contents: BundleContents, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "written").mkdir()
    save(contents, tmp_path / "written")
    assert (tmp_path / "written" / "item_rows.npy").read_bytes() == (folder / "item_rows.npy").read_bytes()
    assert verify(Engine(load(tmp_path / "written"))) == 10


def test_it_is_scored_on_queries_of_this_release(contents: BundleContents, manifest: BundleManifest) -> None:
    part = tiny_part(queries=50, size=Size(len(contents.catalogue)))
    gains = query_gains(part, model_of_bundle(contents, manifest))
    assert ((gains >= 0) & (gains <= 1)).all()
    assert gains.any()
