"""A model is loaded beside the one that answers: nothing that stops every thread happens meanwhile."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from ranking.testing import tiny_bundle
from recommender_api.models.loading import UnusableModelError, load_model
from recommender_api.models.serving import LoadedModel


@pytest.fixture
def collections() -> Iterator[list[str]]:
    """The garbage collections since the test began, by phase."""
    seen: list[str] = []

    def note(phase: str, _info: dict[str, int]) -> None:
        seen.append(phase)

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


def test_no_garbage_is_looked_for_until_a_model_is_loaded(
    tmp_path: Path, model: LoadedModel, collections: list[str]
) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    collections.clear()
    load_model(folder, model.deployment, None)
    assert collections == []
    assert gc.isenabled()


def test_garbage_is_looked_for_again_after_a_model_that_could_not_be_loaded(tmp_path: Path, model: LoadedModel) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    (folder / "ranker.txt").write_bytes(b"not a model")
    with pytest.raises(UnusableModelError, match="not a LightGBM model"):
        load_model(folder, model.deployment, None)
    assert gc.isenabled()
