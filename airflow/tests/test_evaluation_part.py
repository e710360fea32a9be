"""The evaluation part: queries that the twin hasn't seen, nothing about who asked them, and verdicts that hold."""

import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.demo import DemoSize, generate
from pipeline.evaluate.part import (
    MAX_ACTIVITY,
    MAX_DATASETS,
    MAX_QUERIES,
    Holdout,
    NoQueriesError,
    build_part,
    write_evaluation_part,
)
from pipeline.evaluate.queries import ask_before
from pipeline.evaluate.stack import rank_stack
from pipeline.records import Records
from pipeline.train import TrainSettings
from prove.compare import degrade, hold_out, part_settings, resample
from prove.evaluation import load_content
from ranking.diversity import DiversitySettings
from ranking.evaluation import EvaluationPart, ModelVerdict, compare_gains, query_gains, read_part, write_part
from ranking.evaluation.part import MAX_BYTES, MAX_HISTORY
from ranking.item_stats import HALF_LIVES_DAYS, StatsState
from ranking.ranker import Ranker
from ranking.recall import Neighbours, RecallSettings, RecallTables
from ranking.replay import Kind, Knowledge

END = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEEDS = (1, 2)
RECALL, DIVERSITY = RecallSettings(), DiversitySettings()


def holdout_of(records: Records, seed: int) -> Holdout:
    """What the evaluation of a small stack holds out."""
    return hold_out(records, seed, TrainSettings(queries=400, trees=20))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """A marketplace whose users know only a few of its datasets, so that there are many new ones after the cut."""
    content = generate(DemoSize(datasets=300, users=500, interactions=12_000), seed=7, end=END)
    return load_content(content, tmp_path_factory.mktemp("marketplace") / "content")


@pytest.fixture(scope="module")
def holdouts(records: Records) -> dict[int, Holdout]:
    """The same data with two seeds."""
    return {seed: holdout_of(records, seed) for seed in SEEDS}


@pytest.fixture(scope="module")
def parts(holdouts: dict[int, Holdout], tmp_path_factory: pytest.TempPathFactory) -> dict[int, EvaluationPart]:
    """Their parts, as they are read."""
    found = {}
    for seed, holdout in holdouts.items():
        folder = tmp_path_factory.mktemp(f"seed-{seed}")
        write_evaluation_part(holdout, part_settings(seed), folder)
        assert (folder / "evaluation.zip").stat().st_size < MAX_BYTES
        found[seed] = read_part(folder / "evaluation.zip")
    return found


@pytest.fixture(scope="module")
def gains(parts: dict[int, EvaluationPart]) -> NDArray[np.float64]:
    """nDCG@10 of each query by the twin of the first seed."""
    return query_gains(parts[1], parts[1].twin)


def test_the_queries_are_all_new_datasets_of_known_users_after_the_cut(
    holdouts: dict[int, Holdout], parts: dict[int, EvaluationPart]
) -> None:
    core, split, _, _ = holdouts[1]
    part = parts[1]
    asked = split.test[split.of_known(core)]
    assert part.manifest.queries == part.manifest.queries_after_cut == len(asked) > 500
    np.testing.assert_array_equal(part.queries.at, core.ts[asked])
    np.testing.assert_array_equal(part.twin.ids[part.queries.answer], core.catalogue.ids[core.item[asked]])
    assert part.manifest.share == 1
    shares = np.bincount(part.queries.kinds) / len(asked)
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.05)


def test_the_twin_was_trained_before_the_cut_and_histories_end_before_their_query(
    parts: dict[int, EvaluationPart],
) -> None:
    part = parts[1]
    assert part.manifest.trained_until < part.manifest.cut
    assert part.twin.trained_until < part.queries.at[0]
    assert part.queries.history_counts.max() == MAX_HISTORY
    assert part.queries.history_counts.min() > 0
    assert part.queries.ages.min() > 0
    starts = np.repeat(
        np.cumsum(part.queries.history_counts) - part.queries.history_counts, part.queries.history_counts
    )
    newer = np.diff(part.queries.ages) >= 0
    assert newer[np.diff(starts) == 0].all()


def test_the_twin_answers_as_the_evaluation_measured_it(
    holdouts: dict[int, Holdout], parts: dict[int, EvaluationPart]
) -> None:
    """By the rolling protocol, except for users whose history is cut to 50 entries."""
    core, split, items, model = holdouts[1]
    asked = ask_before(core, split.test[split.of_known(core)], core)
    lists = rank_stack(asked, Knowledge(model.tables, RECALL, items), Ranker(model.order.text), DIVERSITY, 1)
    hits = lists.tops[:, :10] == np.array(asked.answers)
    expected = (hits / np.log2(np.arange(2, 12))).sum(axis=1)
    part = parts[1]
    for_users = replace(part, queries=replace(part.queries, kinds=np.full(len(part.queries), Kind.USER, np.uint8)))
    whole = part.queries.history_counts < MAX_HISTORY
    assert whole.sum() > 300
    found = query_gains(for_users, part.twin)
    # Content and scores are float16 in the part: a few places are exchanged.
    assert (np.abs(found - expected)[whole] < 1e-9).mean() > 0.97
    assert found[whole].mean() == pytest.approx(expected[whole].mean(), rel=0.01)


def test_nothing_in_the_file_depends_on_who_the_users_are(holdouts: dict[int, Holdout], tmp_path: Path) -> None:
    holdout = holdouts[1]
    others = replace(holdout.core, user_ids=holdout.core.user_ids * 7919 + 10**12)
    for folder, core in (("these", holdout.core), ("others", others)):
        (tmp_path / folder).mkdir()
        write_evaluation_part(holdout._replace(core=core), part_settings(1), tmp_path / folder)
    these, those = (tmp_path / folder / "evaluation.zip" for folder in ("these", "others"))
    assert these.read_bytes() == those.read_bytes()


def test_users_are_numbered_by_their_first_query(parts: dict[int, EvaluationPart]) -> None:
    _, first = np.unique(parts[1].queries.user, return_index=True)
    assert (np.diff(first) > 0).all()


def test_the_file_has_no_title_no_text_id_and_no_provider(holdouts: dict[int, Holdout], tmp_path: Path) -> None:
    write_evaluation_part(holdouts[1], part_settings(1), tmp_path)
    with zipfile.ZipFile(tmp_path / "evaluation.zip") as archive:
        texts = {name for name in archive.namelist() if not name.endswith(".bin")}
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert texts == {"manifest.json", "ranker.txt"}
    catalogue = holdouts[1].core.catalogue
    for text in (*catalogue.titles[:50], *(provider for provider in catalogue.providers[:50] if provider)):
        assert text.encode() not in everything


def test_a_part_that_would_be_too_large_has_the_datasets_with_the_most_users(
    holdouts: dict[int, Holdout], tmp_path: Path
) -> None:
    holdout = holdouts[1]
    small = write_evaluation_part(holdout, part_settings(1), tmp_path, most_bytes=200_000)
    assert (tmp_path / "evaluation.zip").stat().st_size <= 200_000
    kept = small.manifest.datasets
    assert 20 < kept < len(holdout.core.catalogue)
    train = holdout.split.train
    users = np.bincount(train.item[train.first_of_pair], minlength=len(train.catalogue))
    inside = np.isin(train.catalogue.ids, small.twin.ids)
    assert users[inside].min() >= users[~inside].max()
    assert kept / len(users) < small.manifest.share < 1
    back = read_part(tmp_path / "evaluation.zip")
    assert 0 < query_gains(back, back.twin).mean() < 1


def test_a_part_of_the_largest_size_fits(parts: dict[int, EvaluationPart], tmp_path: Path) -> None:
    n, q, m, k = MAX_DATASETS, MAX_QUERIES, MAX_ACTIVITY, 100
    part, rng = parts[1], np.random.default_rng(1)
    cut = int(part.manifest.cut.timestamp())

    def some(values: NDArray[Any], count: int) -> NDArray[Any]:
        return values[rng.integers(0, len(values), count)]

    def places(count: int) -> NDArray[np.int32]:
        # A long tail, as of interactions.
        return (n * rng.random(count) ** 3).astype(np.int32)

    def table() -> Neighbours:
        scores = -np.sort(-rng.gamma(2, 0.02, (n, k)).astype(np.float32), axis=1)
        return Neighbours(rng.integers(0, n, (n, k)).astype(np.int32), scores)

    content = rng.normal(size=(n, 64)).astype(np.float32)
    tables = RecallTables(table(), table(), table(), table())
    entries = q * MAX_HISTORY
    largest = replace(
        part,
        twin=replace(part.twin, ids=np.cumsum(rng.integers(1, 9, n)), content=content, tables=tables),
        items=replace(
            part.items,
            created_at=some(part.items.created_at, n),
            prices=np.round(rng.uniform(0, 500, n), 2),
            provider=rng.integers(0, 300, n).astype(np.int32),
            at_cut=StatsState(
                part.manifest.origin,
                rng.random((n, len(HALF_LIVES_DAYS))),
                some(np.arange(900.0), n),
                np.zeros(n),
                cut - rng.integers(1, 70 * 86_400, n).astype(np.float64),
            ),
            item=places(m),
            ts=cut + np.sort(rng.integers(0, 18 * 86_400, m)),
            types=some(part.items.types, m),
        ),
        queries=replace(
            part.queries,
            at=cut + np.sort(rng.integers(0, 18 * 86_400, q)),
            user=rng.integers(0, q, q).astype(np.int32),
            kinds=rng.integers(0, 3, q).astype(np.uint8),
            features=some(part.queries.features, q),
            answer=places(q),
            history_counts=np.full(q, MAX_HISTORY),
            history=places(entries),
            ages=np.sort(rng.integers(60, 70 * 86_400, (q, MAX_HISTORY)), axis=1).reshape(-1),
            types=some(part.queries.types, entries),
            hidden_counts=np.zeros(q, np.int64),
            hidden=np.empty(0, np.int32),
        ),
    )
    assert 4_000_000 < write_part(largest, tmp_path / "largest.zip") <= MAX_BYTES


def test_without_a_query_after_the_cut_the_reason_is_named(holdouts: dict[int, Holdout]) -> None:
    holdout = holdouts[1]
    nothing = holdout.split._replace(test=np.empty(0, np.int64))
    with pytest.raises(NoQueriesError, match="no user who was known before the cut"):
        build_part(holdout._replace(split=nothing), part_settings(1))


def test_a_model_that_is_5_percent_worse_is_told_apart_on_4000_queries(
    parts: dict[int, EvaluationPart], gains: NDArray[np.float64]
) -> None:
    rng = np.random.default_rng(20261129)
    worse = 0
    for _ in range(100):
        drawn, rows = resample(parts[1], 4000, rng)
        second = degrade(gains[rows], 0.05 * gains[rows].sum(), rng)
        worse += compare_gains(drawn, (gains[rows], second)).verdict is ModelVerdict.WORSE
    assert worse >= 95


def test_models_of_one_quality_make_no_difference(parts: dict[int, EvaluationPart]) -> None:
    """Each user is answered by either model at random, so neither is better. By 95 % intervals, 5 of 100 differ.

    `make prove ONLY=compare` compares six seeds on 200,000 interactions; with less data a seed changes the quality.
    """
    rng = np.random.default_rng(20261201)
    part = parts[2]
    first, second = (query_gains(part, parts[seed].twin) for seed in (1, 2))
    same = 0
    for _ in range(100):
        is_swapped = rng.random(part.queries.user.max() + 1)[part.queries.user] < 0.5
        swapped = (np.where(is_swapped, second, first), np.where(is_swapped, first, second))
        same += compare_gains(part, swapped).verdict is ModelVerdict.NO_DIFFERENCE
    assert same >= 87
