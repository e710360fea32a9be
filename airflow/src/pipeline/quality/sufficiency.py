"""Checks that there are enough interactions to train on, and describes what is missing."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from pipeline.pairs import first_of_pairs, group_rows

# The evaluation uses users and datasets with this many of each other (`pipeline.evaluate.split.CORE`).
MEASURED_FROM = 5
LEAST = (
    "training needs a user's second dataset that another user had turned to at an earlier time: "
    "3 interactions, 2 users, 2 datasets at least, and hundreds of users for a model worth deploying"
)


def count_learnable(user: NDArray[np.integer], dataset: NDArray[np.integer], ts: NDArray[np.int64]) -> int:
    """Count interactions of users with a further dataset that another user had interacted with earlier.

    All [m] in ascending time; users and datasets are numbers from 0.
    """
    users, datasets = int(user.max(initial=-1)) + 1, int(dataset.max(initial=-1)) + 1
    turns = first_of_pairs(group_rows(user, users), dataset, datasets)
    # Of several values for one place, the last one stays: that of the earliest row.
    first, earliest = np.empty(users, np.int64), np.empty(datasets, np.int64)
    first[user[::-1]] = np.arange(len(user))[::-1]
    earliest[dataset[::-1]] = ts[::-1]
    return int(((first[user[turns]] != turns) & (earliest[dataset[turns]] < ts[turns])).sum())


def describe_shortage(user: NDArray[np.integer], dataset: NDArray[np.integer], ts: NDArray[np.int64]) -> str:
    """Return why there is nothing to learn from; `ts` [m] in Unix seconds."""
    users, datasets = len(np.unique(user)), len(np.unique(dataset))
    if len(ts) > 1 and ts.min() == ts.max():
        moment = datetime.fromtimestamp(int(ts[0]), UTC)
        return f"all {len(ts):,} interactions have the same `ts`, {moment:%Y-%m-%dT%H:%M:%SZ}: look at the time column"
    return f"there are {len(ts):,} interactions of {users:,} users with {datasets:,} datasets; {LEAST}"
