"""Checks that there are enough interactions to train on, and describes what is missing."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

# The evaluation uses users and datasets with this many of each other (`pipeline.evaluate.split.CORE`).
MEASURED_FROM = 5
LEAST = (
    "training needs a user's second dataset that another user had turned to at an earlier time: "
    "3 interactions, 2 users, 2 datasets at least, and hundreds of users for a model worth deploying"
)


def count_learnable(user: NDArray[np.int64], dataset: NDArray[np.int64], ts: NDArray[np.int64]) -> int:
    """Count interactions of users with a further dataset that another user had interacted with earlier; all [m]."""
    order = np.lexsort((dataset, user, ts))
    user, dataset, ts = user[order], dataset[order], ts[order]
    pair = user * (dataset.max(initial=0) + 1) + dataset
    turns = np.sort(np.unique(pair, return_index=True)[1])
    is_first = np.isin(turns, turns[np.unique(user[turns], return_index=True)[1]])
    _, place = np.unique(dataset, return_inverse=True)
    earliest = np.full(place.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(earliest, place, ts)
    return int((~is_first & (earliest[place[turns]] < ts[turns])).sum())


def describe_shortage(user: NDArray[np.int64], dataset: NDArray[np.int64], ts: NDArray[np.int64]) -> str:
    """Return why there is nothing to learn from; `ts` [m] in Unix seconds."""
    users, datasets = len(np.unique(user)), len(np.unique(dataset))
    if len(ts) > 1 and ts.min() == ts.max():
        moment = datetime.fromtimestamp(int(ts[0]), UTC)
        return f"all {len(ts):,} interactions have the same `ts`, {moment:%Y-%m-%dT%H:%M:%SZ}: look at the time column"
    return f"there are {len(ts):,} interactions of {users:,} users with {datasets:,} datasets; {LEAST}"
