"""The queries by what they are about: how much is known of the user and of the right dataset."""

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.queries import QuerySet
from pipeline.records import Records
from ranking.item_stats import DAY

_HISTORY = (0, 1, 5, 20, 50)
_USERS = (0, 1, 10, 50, 200)
_AGE_DAYS = (0, 7, 30, 90)


def segments_of(
    queries: QuerySet, lengths: NDArray[np.int64], train: Records
) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Return masks [q] by the name of the division and of the segment; empty segments are left out.

    `lengths` [q] are those of the histories. With several right answers, the median one counts.
    """
    users = np.bincount(train.item[train.first_of_pair], minlength=len(train.catalogue))
    popularity = np.array([np.median(users[each]) for each in queries.answers])
    created = np.array([np.median(train.created_at[each]) for each in queries.answers])
    age = np.maximum(queries.moments.at - created, 0) / DAY
    return {
        "history": _divide(lengths.astype(np.float64), _HISTORY, "datasets"),
        "dataset_users": _divide(popularity, _USERS, "users"),
        "dataset_age": _divide(age, _AGE_DAYS, "days"),
    }


def _divide(values: NDArray[np.float64], bounds: tuple[int, ...], unit: str) -> dict[str, NDArray[np.bool_]]:
    found = {}
    for number, low in enumerate(bounds):
        high = bounds[number + 1] if number + 1 < len(bounds) else None
        name = f"{low}+ {unit}" if high is None else f"{low} {unit}" if high == low + 1 else f"{low}-{high - 1} {unit}"
        mask = (values >= low) & ((values < high) if high is not None else True)
        if mask.any():
            found[name] = mask
    return found
