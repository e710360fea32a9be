"""Loading a model while another one answers: nothing stops all threads meanwhile."""

import gc
import inspect
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contracts.bundle import FeatureSpec, read_manifest, unpack, write_manifest
from contracts.deployments import DeploymentStage
from contracts.features import FEATURE_SCHEMA, Feature, schema_of
from contracts.user_blob import PackedHistory
from ranking import json_items
from ranking.jit import compiled
from ranking.testing import tiny_bundle
from ranking.verification import answer
from recommender_api.answers.items import answer_of_best
from recommender_api.answers.stored import Served
from recommender_api.models.loading import UnusableModelError, load_model
from recommender_api.models.serving import LoadedModel

FIRST_RELEASE = Path(__file__).parents[2] / "libs" / "ranking" / "tests" / "data" / "first_release.tar.gz"


@pytest.fixture
def collections() -> Iterator[list[str]]:
    """The garbage collections inside of `load_model` since the test began, by phase.

    One right after it is usual: loading makes more objects than a collection waits for.
    """
    seen: list[str] = []
    loading = inspect.unwrap(load_model).__code__

    def note(phase: str, _info: dict[str, int]) -> None:
        if any(frame.f_code is loading for frame, _ in traceback.walk_stack(None)):
            seen.append(phase)

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


def test_garbage_collection_is_paused_while_a_model_is_loaded(
    tmp_path: Path, model: LoadedModel, collections: list[str]
) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    load_model(folder, model.deployment, None)  # a process's first load compiles, before the first answer
    collections.clear()
    load_model(folder, model.deployment, None)
    assert collections == []
    assert gc.isenabled()


def test_garbage_collection_goes_on_after_a_model_that_could_not_be_loaded(tmp_path: Path, model: LoadedModel) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    (folder / "ranker.txt").write_bytes(b"not a model")
    with pytest.raises(UnusableModelError, match="not a LightGBM model"):
        load_model(folder, model.deployment, None)
    assert gc.isenabled()


def test_a_bundle_of_the_first_release_is_served(tmp_path: Path, model: LoadedModel) -> None:
    unpack(FIRST_RELEASE, tmp_path / "bundle")
    loaded = load_model(tmp_path / "bundle", model.deployment, None)
    assert loaded.manifest.feature_schema == "e98a244902e8ff2e"
    for request in loaded.engine.contents.golden:
        ids, scores = answer(loaded.engine, request, len(request.expected_ids))
        assert (ids, np.float32(scores).tolist()) == (
            request.expected_ids,
            np.float32(request.expected_scores).tolist(),
        )


def test_a_bundle_with_a_feature_that_is_not_computed_is_not_served_and_the_error_names_it(
    tmp_path: Path, model: LoadedModel
) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    manifest = read_manifest(folder)
    features = [*manifest.features, FeatureSpec(name="moon_phase", dtype="float32", default=0.0)]
    schema = schema_of(Feature(**spec.model_dump()) for spec in features)
    write_manifest(folder, manifest.model_copy(update={"features": features, "feature_schema": schema}))
    with pytest.raises(UnusableModelError, match="does not compute the features moon_phase") as raised:
        load_model(folder, model.deployment, None)
    assert raised.value.stage is DeploymentStage.LOAD


def test_a_bundle_whose_schema_does_not_match_its_features_is_not_served(tmp_path: Path, model: LoadedModel) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    write_manifest(folder, read_manifest(folder).model_copy(update={"feature_schema": "0" * 16}))
    with pytest.raises(UnusableModelError, match=f"feature_schema is {'0' * 16}, .* is {FEATURE_SCHEMA}") as raised:
        load_model(folder, model.deployment, None)
    assert raised.value.stage is DeploymentStage.LOAD


def test_no_answer_of_a_loaded_model_waits_for_a_compiler(
    tmp_path: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = compiled(json_items._write_items.py_func)
    monkeypatch.setattr(json_items, "_write_items", loop)
    loaded = load_model(tiny_bundle(tmp_path / "bundle"), model.deployment, None)
    (made,) = loop.signatures
    done = loaded.engine.rank_fused(None, PackedHistory(), PackedHistory(), anchor=1, limit=5)
    assert done is not None
    for _ in range(2):  # without its datasets' cards, and with them
        best = answer_of_best(loaded, Served("ranker", "1", "primary"), done.best, sequence=0, snapshot=None)
        assert len(best.ids) == best.items.count(b'"score":') == 5
    assert loop.signatures == [made]
