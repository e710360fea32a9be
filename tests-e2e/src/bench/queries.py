"""Requests that a recommender has to rank, because all of them are different."""

from collections.abc import Iterator
from itertools import count

from bench.population import USERS
from bench.size import FULL_SIZE
from ranking.testing import FIRST_DATASET_ID


def new_queries() -> Iterator[str]:
    """Yield paths without end; no two have the same dataset and user, so no cached result answers them."""
    for number in count():
        dataset = FIRST_DATASET_ID + number % (FULL_SIZE.datasets - 1)
        yield f"/recommend/detail/{dataset}?user_id={number % USERS + 1}&limit=20"
