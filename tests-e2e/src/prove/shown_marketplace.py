"""A simulated marketplace whose every preference is known: what a biased order shows, and what users take of it.

Users examine place p (from 0) with the probability 1 / log2(p + 2), and take an examined dataset with the probability
of their preference. The order that serves them follows a popularity that has nothing to do with preferences.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.demo import DemoSize, generate
from pipeline.features.items import ItemState, item_state
from pipeline.feedback.log import EXPOSURES
from pipeline.records import Records
from prove.clean_content import write_clean_tables
from prove.quality_nights import END

SHOWN = 10
_POOL = 2 * SHOWN
_SECONDS_PER_DAY = 86_400
_DAYS = 60
_CLICK = 1


class Size(NamedTuple):
    """How large a simulation is; `drawn` is the share of answers in random order."""

    datasets: int
    users: int
    answers: int
    drawn: float = 0.1


@dataclass(frozen=True)
class ShownMarketplace:
    """`wanted` [u, n] is the probability that a user wants a dataset; `records` are the clicks on `exposures`."""

    records: Records
    items: ItemState
    exposures: pa.Table
    wanted: NDArray[np.float64]


def examination(places: int) -> NDArray[np.float64]:
    """Return the probability that a user looks at each place, [places]."""
    probability: NDArray[np.float64] = 1.0 / np.log2(np.arange(places) + 2.0)
    return probability


def simulate(folder: Path, size: Size, seed: int) -> ShownMarketplace:
    """Simulate all answers over 60 days."""
    rng = np.random.default_rng(seed)
    content = generate(DemoSize(datasets=size.datasets, users=size.users, interactions=size.users * 10), seed, END)
    records = Records.load(write_clean_tables(content, folder, END))
    items = item_state(records, seed)
    wanted = _preferences(records, items, rng)
    users, datasets = wanted.shape
    popularity = 2.0 * rng.standard_normal(datasets)
    at = np.sort(rng.integers(records.end - _DAYS * _SECONDS_PER_DAY, records.end, size.answers))
    asking = rng.integers(0, users, size.answers)
    is_drawn = rng.random(size.answers) < size.drawn
    scores = popularity + rng.gumbel(size=(size.answers, datasets))
    pools = np.argsort(-scores, axis=1)[:, :_POOL]
    shown = np.array(
        [rng.permutation(pool)[:SHOWN] if drawn else pool[:SHOWN] for pool, drawn in zip(pools, is_drawn, strict=True)]
    )
    is_taken = rng.random(shown.shape) < examination(SHOWN) * wanted[asking[:, None], shown]
    clicked, place = np.nonzero(is_taken)
    clicks = replace(
        records,
        user=asking[clicked].astype(np.int32),
        item=shown[clicked, place].astype(np.int32),
        ts=at[clicked] + 1 + place,
        types=np.full(len(clicked), _CLICK, np.uint8),
    )
    order = np.lexsort((clicks.item, clicks.user, clicks.ts))
    clicks = replace(
        clicks, user=clicks.user[order], item=clicks.item[order], ts=clicks.ts[order], end=int(clicks.ts.max()) + 1
    )
    exposures = pa.Table.from_pylist(
        [
            {
                "at": int(at[answer]),
                "user_id": int(records.user_ids[asking[answer]]),
                "dataset_ids": records.catalogue.ids[shown[answer]].tolist(),
                "scores": (1 / (1 + np.exp(-scores[answer, shown[answer]]))).tolist(),
                "grades": is_taken[answer].astype(int).tolist(),
                "is_drawn": bool(is_drawn[answer]),
            }
            for answer in range(size.answers)
            if is_drawn[answer] or is_taken[answer].any()
        ],
        EXPOSURES,
    )
    return ShownMarketplace(clicks, items, exposures, wanted)


def _preferences(records: Records, items: ItemState, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return preferences by the likeness to a dataset that stands for the user's taste, and by a low price."""
    content = items.table.content.astype(np.float64)
    tastes = content[rng.integers(0, len(content), len(records.user_ids))]
    likeness = _standardized(tastes @ content.T)
    cheapness = -_standardized(items.table.log_price.astype(np.float64))
    wanted: NDArray[np.float64] = 1.0 / (1.0 + np.exp(2.0 - likeness - cheapness))
    return wanted


def _standardized(values: NDArray[np.float64]) -> NDArray[np.float64]:
    standardized: NDArray[np.float64] = (values - values.mean()) / max(float(values.std()), 1e-9)
    return standardized


def true_ndcg(gains: Sequence[NDArray[np.float64]], orders: Sequence[NDArray[np.int64]], at: int = 10) -> float:
    """Return the mean nDCG of orders (rows, first to last) of candidates with known gains."""
    found = []
    for gain, order in zip(gains, orders, strict=True):
        discounts = 1.0 / np.log2(np.arange(min(at, len(gain))) + 2.0)
        best = np.sort(gain)[::-1]
        found.append(float(gain[order][: len(discounts)] @ discounts / (best[: len(discounts)] @ discounts)))
    return float(np.mean(found))
