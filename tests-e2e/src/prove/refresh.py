"""What the hourly refresh is worth: nDCG@10 by the night's bundle alone, and by the bundle of the hour.

MovieTweetings needs `REAL_DATA_DIR`, a folder with `movietweetings-100k`. It has no moments at which films arrive: a
film is there from its first rating on, and that rating is no query.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bench.results import Goal, Result
from pipeline.business.content import DATASETS, Content
from pipeline.demo import DemoSize, generate
from pipeline.importers.sources import ImportOptions, read_source
from prove.refreshed_days import Replayed, ReplayedDays, replay
from ranking.bootstrap import Interval, intervals

# A quarter of the datasets arrive within the window, 17 a day.
_MARKET = DemoSize(datasets=1_000, users=2_500, interactions=40_000, days=15)
_MARKET_END = datetime(2026, 3, 1, 3, tzinfo=UTC)
_DAYS = 1
# A small ranker: both answers are by the same one. The evaluation changes no model.
_CONFIG = """\
history: {half_lives_days: [7], recent_ranks: [5]}
queries: {most: 2000}
ranker: {trees: 60}
evaluation: {global_split: false, baselines: false, queries: 100}
"""
# Of all queries, the lower bound of the difference: a refresh must not cost quality.
_LEAST_DIFFERENCE = -0.005


class Group(NamedTuple):
    """A group of queries: nDCG@10 by both bundles, and how far the hour's is ahead, paired."""

    name: str
    queries: int
    nightly: float
    hourly: float
    difference: Interval


def prove(folder: Path, seed: int) -> list[Result]:
    """Replay the last days of each data set."""
    markets = {"marketplace": generate(_MARKET, seed % 2**31, _MARKET_END)}
    if real := os.environ.get("REAL_DATA_DIR"):
        markets["MovieTweetings"] = _movietweetings(Path(real))
    results = [Result("refresh: real data sets replayed", len(markets) - 1, "data sets")]
    logging.disable(logging.WARNING)
    try:
        for name, content in markets.items():
            found = replay(content, folder / name, _last_days(content), _CONFIG, seed)
            results += _results(name, found, seed)
    finally:
        logging.disable(logging.NOTSET)
    return results


def _last_days(content: Content) -> ReplayedDays:
    last = pc.max(content.interactions["ts"]).as_py().astimezone(UTC)
    return ReplayedDays(last.replace(hour=3, minute=0, second=0, microsecond=0) - timedelta(days=_DAYS), _DAYS)


def compare(found: Replayed, groups: Mapping[str, NDArray[np.bool_]], seed: int) -> list[Group]:
    """Return the comparison of each group, a mask of the queries [q]; the intervals are by bootstrap over users."""
    nightly, hourly, user = np.array(found.nightly), np.array(found.hourly), np.array(found.user)
    return [
        Group(
            name,
            int(mask.sum()),
            float(nightly[mask].mean()) if mask.any() else 0.0,
            float(hourly[mask].mean()) if mask.any() else 0.0,
            intervals((hourly - nightly)[mask][:, None], user[mask], seed)[0],
        )
        for name, mask in groups.items()
    ]


def _results(name: str, found: Replayed, seed: int) -> list[Result]:
    groups = {
        "all": np.ones(len(found.user), np.bool_),
        "new datasets": np.array(found.is_new_dataset),
        "new users": np.array(found.is_new_user),
    }
    results = []
    for each in compare(found, groups, seed):
        head = f"refresh, {name}, {each.name}"
        goal = Goal(least=_LEAST_DIFFERENCE) if each.name == "all" else None
        results += [
            Result(f"{head}: queries", each.queries, ""),
            Result(f"{head}: by the night", each.nightly, "nDCG@10"),
            Result(f"{head}: by the hour", each.hourly, "nDCG@10"),
            Result(f"{head}: difference", each.difference.mean, "nDCG@10"),
            Result(f"{head}: its lower bound", each.difference.low, "nDCG@10", goal),
            Result(f"{head}: its upper bound", each.difference.high, "nDCG@10"),
        ]
    seconds = float(np.median(found.refresh_seconds))
    return [*results, Result(f"refresh, {name}: CPU of a refresh", seconds, "s")]


def _movietweetings(real: Path) -> Content:
    """Return the films and ratings; a film that has none is there from the beginning."""
    content = read_source("movietweetings", real / "movietweetings-100k", ImportOptions(datetime.now(UTC))).content
    first = content.interactions.group_by("dataset").aggregate([("ts", "min")])
    arrived: list[datetime | None] = [None] * len(content.datasets)
    for row, ts in zip(first["dataset"].to_pylist(), first["ts_min"].to_pylist(), strict=True):
        arrived[row] = ts
    field = DATASETS.field("created_at")
    place = DATASETS.get_field_index(field.name)
    return replace(content, datasets=content.datasets.set_column(place, field, pa.array(arrived, field.type)))
