"""A bundle of any number of datasets, as large as a trained one but with random contents."""

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.bundle import BundleManifest, DataWindow, pack, write_manifest
from contracts.features import FEATURE_SCHEMA, ITEM_FEATURES
from ranking.bundle import BundleContents, save
from ranking.catalogue import Catalogue
from ranking.engine import Engine
from ranking.features import item_table, log_prices
from ranking.golden import GoldenRequest
from ranking.recall import Neighbours, Popular, RecallSettings, RecallTables
from ranking.testing import FIRST_DATASET_ID, MODEL_END, Size, tiny_contents
from ranking.user import NOTHING_KNOWN
from ranking.verification import answer

# The sizes that the pipeline uses.
CONTENT_DIMENSIONS, PRECOMPUTED = 64, 60
POPULAR = 1_000
_RANKER = Size(datasets=200, trees=100, leaves=31)


def large_archive(path: Path, datasets: int, version: str) -> Path:
    """Write a packed bundle and return its path; each version has other random contents."""
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        folder = Path(temporary)
        save(_contents(datasets, np.random.default_rng(int(version))), folder)
        write_manifest(
            folder,
            BundleManifest(
                name="ranker",
                version=version,
                created_at=MODEL_END,
                git_commit=None,
                data_window=DataWindow(
                    start=MODEL_END - timedelta(days=90), end=MODEL_END, interactions=0, users=0, datasets=datasets
                ),
                feature_schema=FEATURE_SCHEMA,
                metrics={"ndcg@10": 0.2},
            ),
        )
        pack(folder, path)
    return path


def _contents(n: int, rng: np.random.Generator) -> BundleContents:
    prices = np.round(rng.uniform(0, 500, n), 2)
    sizes = RecallSettings().channel_sizes
    popular = rng.permutation(n).astype(np.int32)[:POPULAR]
    most_popular = Popular(popular, np.linspace(1, 0, POPULAR, dtype=np.float32))
    contents = BundleContents(
        Catalogue(
            np.arange(FIRST_DATASET_ID, FIRST_DATASET_ID + n),
            [f"Hourly readings of station {number}, all sensors, quality checked" for number in range(n)],
            prices,
            [f"https://img.example.com/covers/{number}.png" for number in range(n)],
            [[f"topic-{number % 50}", f"region-{number % 300}", "hourly"] for number in range(n)],
            [f"Provider {number % 500}" for number in range(n)],
        ),
        rng.random((n, len(ITEM_FEATURES))).astype(np.float32),
        item_table(
            rng.normal(size=(n, CONTENT_DIMENSIONS)).astype(np.float32) / np.float32(np.sqrt(CONTENT_DIMENSIONS)),
            rng.integers(0, 500, n).astype(np.int32),
            log_prices(prices),
        ),
        RecallTables(
            _table(rng, n, sizes["behavior"]),
            _table(rng, n, sizes["content"]),
            _table(rng, n, sizes["vector"]),
            _table(rng, n, sizes["transition"]),
            most_popular,
            most_popular,
        ),
        RecallSettings(),
        tiny_contents(size=_RANKER).ranker_text,
        _table(rng, n, PRECOMPUTED),
        {"1h": popular[:100].tolist(), "24h": popular[:200].tolist()},
        [],
    )
    return replace(contents, golden=_golden(Engine(contents)))


def _table(rng: np.random.Generator, n: int, k: int) -> Neighbours:
    return Neighbours(rng.integers(0, n, (n, k), np.int32), -np.sort(-rng.random((n, k), np.float32), axis=1))


def _golden(engine: Engine) -> list[GoldenRequest]:
    ids: NDArray[np.int64] = engine.contents.catalogue.ids
    asked = GoldenRequest(
        dataset_id=int(ids[5]),
        at=int(MODEL_END.timestamp()) + 60,
        user_features=NOTHING_KNOWN.tolist(),
        history_ids=ids[10:15].tolist(),
        history_ts=[int(MODEL_END.timestamp())] * 5,
        history_types=[2] * 5,
        expected_ids=[],
        expected_scores=[],
    )
    expected_ids, expected_scores = answer(engine, asked, 10)
    return [asked.model_copy(update={"expected_ids": expected_ids, "expected_scores": expected_scores})]
