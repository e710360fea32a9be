"""Maximal marginal relevance: the choice of an answer's datasets follows the formula exactly."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranking.bundle import UnusableBundleError, load, save
from ranking.diversity import NO_DIVERSITY, DiversitySettings, choose
from ranking.engine import Engine, RankingQuery
from ranking.features import ItemTable, item_table
from ranking.testing import Size, tiny_contents
from ranking.verification import verify

WEIGHED = DiversitySettings(relevance=0.6, same_provider=0.4, head=15)


def table(content: NDArray[np.float32], provider: NDArray[np.int32]) -> ItemTable:
    return item_table(content, provider, np.zeros(len(provider), np.float32))


def unit_rows(rng: np.random.Generator, n: int, kinds: int) -> NDArray[np.float32]:
    """Vectors of few kinds, so that equal similarities and equal datasets come up."""
    vectors = rng.normal(size=(kinds, 5))[rng.integers(0, kinds, n)]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def worth(
    row: int, chosen: list[int], raw: NDArray[np.float64], items: NDArray[np.int32], catalogue: ItemTable
) -> float:
    """The formula as it is published."""
    nearest = 0.0
    for other in chosen:
        cosine = float(catalogue.content[items[row]] @ catalogue.content[items[other]])
        same = catalogue.provider[items[row]] == catalogue.provider[items[other]]
        nearest = max(nearest, cosine, WEIGHED.same_provider if same else 0.0)
    return float(WEIGHED.relevance / (1 + np.exp(-raw[row])) - (1 - WEIGHED.relevance) * nearest)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 25))
def test_each_choice_has_the_highest_value_at_its_turn_and_the_rest_follow_by_score(
    seed: int, candidates: int, limit: int
) -> None:
    rng = np.random.default_rng(seed)
    catalogue = table(unit_rows(rng, 40, 12), rng.integers(0, 6, 40).astype(np.int32))
    items = rng.choice(40, candidates, replace=False).astype(np.int32)
    raw = np.sort(np.round(rng.normal(0, 2, candidates), 1))[::-1].copy()
    chosen = choose(raw, items, catalogue, WEIGHED, limit).tolist()
    assert len(set(chosen)) == len(chosen) == min(limit, candidates)
    head = list(range(min(WEIGHED.head, candidates)))
    for turn, row in enumerate(chosen[: WEIGHED.head]):
        values = {other: worth(other, chosen[:turn], raw, items, catalogue) for other in head}
        assert values[row] == pytest.approx(max(values.values()), abs=1e-6)
        head.remove(row)
    assert chosen[WEIGHED.head :] == list(range(WEIGHED.head, limit))[: max(0, candidates - WEIGHED.head)]


def test_the_first_k_of_a_choice_are_the_choice_of_k() -> None:
    rng = np.random.default_rng(1)
    catalogue = table(unit_rows(rng, 50, 9), np.arange(50, dtype=np.int32) % 4)
    raw, items = np.sort(rng.normal(size=50))[::-1].copy(), np.arange(50, dtype=np.int32)
    whole = choose(raw, items, catalogue, WEIGHED, 50).tolist()
    assert sorted(whole) == list(range(50))
    assert all(choose(raw, items, catalogue, WEIGHED, limit).tolist() == whole[:limit] for limit in range(51))


def test_a_near_duplicate_loses_to_another_dataset_and_a_far_better_one_does_not() -> None:
    content = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    catalogue, items = table(content, np.arange(3, dtype=np.int32)), np.arange(3, dtype=np.int32)
    assert choose(np.array([1.0, 0.9, 0.8]), items, catalogue, DiversitySettings(), 2).tolist() == [0, 2]
    assert choose(np.array([1.0, 0.9, -3.0]), items, catalogue, DiversitySettings(), 2).tolist() == [0, 1]


def test_two_datasets_of_one_provider_count_as_similar() -> None:
    catalogue, items = table(np.eye(3, dtype=np.float32), np.array([7, 7, 8], np.int32)), np.arange(3, dtype=np.int32)
    raw = np.array([1.0, 0.9, 0.85])
    assert choose(raw, items, catalogue, DiversitySettings(), 2).tolist() == [0, 2]
    assert choose(raw, items, catalogue, DiversitySettings(same_provider=0.0), 2).tolist() == [0, 1]


def test_without_diversity_the_best_are_chosen() -> None:
    contents = tiny_contents(size=Size(60))
    engine = Engine(replace(contents, diversity=NO_DIVERSITY))
    candidates = engine.recall(RankingQuery(5))
    every = engine.rank(RankingQuery(5), candidates, len(candidates.items))
    assert engine.rank(RankingQuery(5), candidates, 10).items.tolist() == every.items.tolist()[:10]


@pytest.mark.parametrize("limit", [0, 1, 40, 300, 400])
@pytest.mark.parametrize("spread", [0.0, 1e-300, 1.0, 1e308])
@pytest.mark.parametrize("outlier", [0.0, 1e12, np.inf, -np.inf])
def test_the_best_are_those_of_a_stable_sort_however_the_scores_lie(limit: int, spread: float, outlier: float) -> None:
    rng = np.random.default_rng(2)
    raw = np.round(rng.normal(size=300).clip(-1.5, 1.5), 1) * spread
    raw[rng.choice(300, 2)] = outlier
    catalogue = table(np.zeros((300, 1), np.float32), np.zeros(300, np.int32))
    best = choose(raw, np.arange(300, dtype=np.int32), catalogue, NO_DIVERSITY, limit)
    assert best.tolist() == np.argsort(-raw, kind="stable")[:limit].tolist()


def test_answers_are_less_alike_and_still_best_first() -> None:
    contents = tiny_contents()
    engine, plain = Engine(contents), Engine(replace(contents, diversity=NO_DIVERSITY))

    def alike(asked: Engine, anchor: int) -> float:
        ranked = asked.rank(RankingQuery(anchor), asked.recall(RankingQuery(anchor)), 10)
        assert (np.diff(ranked.scores) <= 0).all()
        vectors = contents.table.content[ranked.items]
        return float((vectors @ vectors.T).mean())

    similarity = {asked: np.mean([alike(asked, anchor) for anchor in range(50)]) for asked in (engine, plain)}
    assert similarity[engine] < 0.95 * similarity[plain]


def test_a_bundle_from_before_diversity_answers_as_it_did(tmp_path: Path) -> None:
    contents = replace(tiny_contents(size=Size(60)), diversity=NO_DIVERSITY, golden=[])
    save(contents, tmp_path)
    (tmp_path / "diversity.json").unlink()
    assert load(tmp_path).diversity == NO_DIVERSITY


def test_the_settings_are_stored_in_the_bundle_and_its_golden_requests_check_them(tmp_path: Path) -> None:
    save(tiny_contents(size=Size(60)), tmp_path)
    assert verify(Engine(load(tmp_path))) == 10
    changed = {"relevance": 0.3, "same_provider": 0.0, "head": 60}
    (tmp_path / "diversity.json").write_text(json.dumps(changed))
    assert load(tmp_path).diversity == DiversitySettings(**changed)  # type: ignore[arg-type]
    (tmp_path / "diversity.json").write_text('{"relevance": 7}')
    with pytest.raises(UnusableBundleError, match=r"diversity\.json: relevance"):
        load(tmp_path)
