"""A small, complete bundle for tests of code that reads bundles."""

import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from contracts.bundle import BundleManifest, DataWindow, pack, write_manifest
from contracts.features import FEATURE_SCHEMA, TRAINED_FEATURES, VOTING_CHANNELS
from contracts.ids import hash_id
from ranking.bundle import BundleContents, save
from ranking.catalogue import Catalogue
from ranking.diversity import DiversitySettings, choose
from ranking.engine import Engine, RankingQuery, displayed_scores
from ranking.evaluation.models import RankingModel
from ranking.evaluation.part import EvaluationPart, HeldOutQueries, ItemData, PartManifest
from ranking.features import feature_matrix, item_table, log_prices
from ranking.golden import GoldenRequest
from ranking.item_stats import DAY, ItemStats
from ranking.recall import NO_POPULAR, Neighbours, Popular, RecallSettings, RecallTables
from ranking.replay import Kind
from ranking.verification import answer

FIRST_DATASET_ID = 101
MODEL_END = datetime(2026, 1, 1, tzinfo=UTC)
# Long-term features of a usual user.
_USER = np.array([1.8, 0.1, 3.0, 1.5, 2.5, 3.0, 1.5, 3.0], np.float32)
_TOPICS = ("Weather", "Health", "Traffic", "Finance", "Energy")


@dataclass(frozen=True)
class Size:
    """The size of a bundle.

    `datasets` (≥ 40), the ranker's trees and their leaves, neighbours per table, and how many of them recall uses. With
    `text_ids` all datasets except the first have one (`text_id`).
    """

    datasets: int = 200
    trees: int = 20
    leaves: int = 15
    neighbours: int = 30
    recall: RecallSettings = field(default_factory=RecallSettings)
    text_ids: bool = False


def tiny_bundle(
    folder: Path,
    *,
    name: str = "ranker",
    version: str = "1",
    seed: int = 0,
    size: Size = Size(),
    ndcg: float = 0.2,
    ranker_text: str | None = None,
) -> Path:
    """Write a complete bundle of random datasets, ids from `FIRST_DATASET_ID` on, below `folder` and return it.

    The last dataset is cold: no neighbours, no precomputed list. Another `seed` gives other answers; `ndcg` is the
    manifest's `ndcg@10`. A refresh has the `ranker_text` of another bundle.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = tiny_contents(seed=seed, size=size, ranker_text=ranker_text)
    n = size.datasets
    save(contents, folder)
    write_manifest(
        folder,
        BundleManifest(
            name=name,
            version=version,
            created_at=MODEL_END,
            git_commit=None,
            data_window=DataWindow(
                start=MODEL_END - timedelta(days=90), end=MODEL_END, interactions=n * 20, users=50, datasets=n
            ),
            feature_schema=FEATURE_SCHEMA,
            metrics={"ndcg@10": ndcg, "ndcg@10_popularity": 0.08},
        ),
    )
    return folder


def tiny_archive(
    path: Path, *, name: str = "ranker", version: str = "1", seed: int = 0, size: Size = Size(), ndcg: float = 0.2
) -> Path:
    """Write `tiny_bundle`, packed, to `path` and return the path."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = tiny_bundle(Path(temporary), name=name, version=version, seed=seed, size=size, ndcg=ndcg)
        pack(folder, path)
    return path


def tiny_contents(*, seed: int = 0, size: Size = Size(), ranker_text: str | None = None) -> BundleContents:
    """Return the contents of `tiny_bundle`."""
    n = size.datasets
    rng = np.random.default_rng(seed)
    topics = rng.integers(0, len(_TOPICS), n)
    ids, external_ids = _text_ids(n) if size.text_ids else (np.arange(FIRST_DATASET_ID, FIRST_DATASET_ID + n), None)
    catalogue = Catalogue(
        ids,
        [f"{_TOPICS[topic]} dataset {number}" for number, topic in enumerate(topics)],
        np.round(rng.uniform(0, 500, n), 2),
        [f"https://img.example.com/{number}.png" if number % 3 else None for number in range(n)],
        [[_TOPICS[topic].lower(), "demo"] for topic in topics],
        [f"Provider {number % 7}" for number in range(n)],
        external_ids,
    )
    content = rng.normal(size=(n, 16)).astype(np.float32) + np.eye(16, dtype=np.float32)[topics] * 4
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    content[-1] = 0.0
    stats = _stats(rng, catalogue)
    popularity = stats.popularity(MODEL_END.timestamp())
    best = np.argsort(-popularity, kind="stable").astype(np.int32)
    popular = Popular(best, (popularity[best] / popularity.max()).astype(np.float32))
    behavior, near, vector, transition = (
        _nearest(content, rng, noise, size.neighbours) for noise in (0.6, 0.0, 0.3, 0.8)
    )
    everything = np.arange(n, dtype=np.int32)
    partial = BundleContents(
        catalogue,
        stats.rows(everything, MODEL_END.timestamp()),
        item_table(content, (everything % 7).astype(np.int32), log_prices(catalogue.prices)),
        RecallTables(behavior, near, vector, transition, popular, popular),
        size.recall,
        ranker_text or _ranker_text(rng, size),
        Neighbours(np.empty((n, 0), np.int32), np.empty((n, 0), np.float32)),
        {"1h": best[:20].tolist(), "24h": best[:40].tolist()},
        [],
        diversity=DiversitySettings(),
    )
    engine = Engine(partial)
    return replace(partial, precomputed=_precomputed(engine, n), golden=_golden(engine, rng, n))


def tiny_part(*, seed: int = 0, queries: int = 800, size: Size = Size()) -> EvaluationPart:
    """Return an evaluation part whose twin is the model of `tiny_contents`, and whose queries begin at `MODEL_END`.

    The right answers are near the newest dataset of a history, so that a model finds some of them.
    """
    contents = tiny_contents(seed=seed, size=size)
    n, cut = size.datasets, int(MODEL_END.timestamp())
    rng = np.random.default_rng(seed)
    stats = _stats(rng, contents.catalogue)
    near = contents.recall.content.items
    history = np.array([rng.permutation(n - 1)[:5] for _ in range(queries)], np.int32)
    later = np.sort(rng.integers(0, 7 * int(DAY), 2000))
    return EvaluationPart(
        PartManifest(
            name="ranker",
            run_id=f"seed-{seed}",
            cut=MODEL_END,
            trained_until=MODEL_END - timedelta(seconds=1),
            feature_schema=FEATURE_SCHEMA,
            datasets=n,
            queries=queries,
            queries_after_cut=queries,
            share=1.0,
            origin=stats.state().origin,
            recall=contents.recall_settings,
            diversity=contents.diversity,
        ),
        RankingModel(
            contents.catalogue.ids,
            contents.table.content,
            replace(contents.recall, popular=NO_POPULAR, popular_30d=NO_POPULAR),
            contents.recall_settings,
            contents.diversity,
            contents.ranker_text,
            cut - 1,
            contents.own,
            contents.table.own,
        ),
        ItemData(
            np.full(n, cut - 90 * int(DAY), np.int64),
            np.asarray(contents.catalogue.prices),
            contents.table.provider,
            stats.state(),
            rng.integers(0, n - 1, len(later)).astype(np.int32),
            cut + later,
            rng.integers(1, 5, len(later)).astype(np.uint8),
        ),
        HeldOutQueries(
            cut + np.sort(rng.integers(0, 7 * int(DAY), queries)),
            np.arange(queries, dtype=np.int32),
            rng.integers(0, len(Kind), queries).astype(np.uint8),
            np.tile(_USER, (queries, 1)),
            near[history[:, 0], rng.integers(0, 5, queries)],
            np.full(queries, 5, np.int64),
            history.reshape(-1),
            np.tile(np.arange(1, 6) * 3600, queries),
            np.full(5 * queries, 2, np.uint8),
            np.zeros(queries, np.int64),
            np.empty(0, np.int32),
        ),
    )


def text_id(number: int) -> str:
    """Return the id of a bundle's dataset for each `number` from 1 on; half of the ids have non-ASCII characters."""
    return f"数据/{number},b %?#" if number % 2 else f"SKU-{number}"


def _text_ids(n: int) -> tuple[NDArray[np.int64], list[str | None]]:
    named = sorted((hash_id(text_id(number), "dataset"), text_id(number)) for number in range(1, n))
    ids = [FIRST_DATASET_ID, *(number for number, _ in named)]
    return np.array(ids, np.int64), [None, *(text for _, text in named)]


def _stats(rng: np.random.Generator, catalogue: Catalogue) -> ItemStats:
    n, end = len(catalogue), int(MODEL_END.timestamp())
    created = end - (rng.uniform(1, 90, n) * DAY).astype(np.int64)
    stats = ItemStats(created, catalogue.prices.astype(np.float32), end - 90 * DAY)
    weights = 1.0 / np.arange(1, n) ** 0.8
    items = rng.choice(n - 1, n * 20, p=weights / weights.sum()).astype(np.int32)
    ts = end - (rng.uniform(0, 90, len(items)) * DAY).astype(np.int64)
    stats.add(items, ts, rng.choice(np.array([1, 2, 3, 4], np.uint8), len(items)))
    return stats


def _nearest(content: NDArray[np.float32], rng: np.random.Generator, noise: float, count: int) -> Neighbours:
    n = len(content)
    similarity = content @ content.T + noise * rng.random((n, n), np.float32)
    np.fill_diagonal(similarity, -np.inf)
    similarity[-1, :] = similarity[:, -1] = -np.inf
    items = np.argsort(-similarity, axis=1, kind="stable")[:, :count].astype(np.int32)
    scores = np.take_along_axis(similarity, items, axis=1)
    unknown = ~(scores > 0)
    return Neighbours(np.where(unknown, np.int32(-1), items), np.where(unknown, np.float32(0), scores))


def _ranker_text(rng: np.random.Generator, size: Size) -> str:
    """Train on noise around a plausible preference: votes, popularity and similarity all help."""
    matrix = rng.random((2000, len(TRAINED_FEATURES))).astype(np.float32)
    names = [feature.name for feature in TRAINED_FEATURES]
    votes = [names.index(f"vote_{channel}") for channel in VOTING_CHANNELS]
    helpful = [*votes, names.index("item_popularity_3d"), names.index("anchor_content_similarity")]
    target = matrix[:, helpful].sum(axis=1) + rng.normal(0, 0.3, len(matrix))
    data = lgb.Dataset(matrix, target, feature_name=names)
    settings = {
        "objective": "regression",
        "num_leaves": size.leaves,
        "num_threads": 1,
        "use_missing": False,
        "verbosity": -1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": 42,
    }
    booster = lgb.train(settings, data, num_boost_round=size.trees)
    return str(booster.model_to_string())


def _precomputed(engine: Engine, n: int) -> Neighbours:
    items = np.full((n, 60), -1, np.int32)
    scores = np.zeros((n, 60), np.float32)
    contents = engine.contents
    for anchor in range(n - 1):
        found = engine.recall(RankingQuery(anchor))
        rows = contents.item_rows[found.items]
        raw = engine.ranker.scores(feature_matrix(found, rows, contents.table, anchor=anchor, user=RankingQuery().user))
        chosen = choose(raw, found.items, contents.table, contents.diversity, 60)
        items[anchor, : len(chosen)], scores[anchor, : len(chosen)] = found.items[chosen], displayed_scores(raw[chosen])
    return Neighbours(items, scores)


def _golden(engine: Engine, rng: np.random.Generator, n: int) -> list[GoldenRequest]:
    end = int(MODEL_END.timestamp())
    all_ids = engine.contents.catalogue.ids
    requests = []
    for number in range(10):
        known = rng.choice(n - 1, 5, replace=False) if number % 3 else np.empty(0, np.int64)
        request = GoldenRequest(
            dataset_id=int(all_ids[rng.integers(n)]) if number % 2 else None,
            at=end + 60,
            user_features=_USER.tolist() if len(known) else [],
            history_ids=[int(all_ids[position]) for position in known],
            history_ts=[end - 3600 * hour for hour in range(len(known))],
            history_types=[2] * len(known),
            expected_ids=[],
            expected_scores=[],
        )
        ids, scores = answer(engine, request, 10)
        requests.append(request.model_copy(update={"expected_ids": ids, "expected_scores": scores}))
    return requests
