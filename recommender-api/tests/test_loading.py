"""Loading a model while another one answers: nothing stops all threads meanwhile."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.user_blob import PackedHistory
from ranking import json_items
from ranking.jit import compiled
from ranking.testing import tiny_bundle
from recommender_api.answers.items import answer_of_best
from recommender_api.answers.stored import Served
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
        answer = answer_of_best(loaded, Served("ranker", "1", "primary"), done.best, sequence=0, snapshot=None)
        assert len(answer.ids) == answer.items.count(b'"score":') == 5
    assert loop.signatures == [made]
