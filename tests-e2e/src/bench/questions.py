"""Questions that a recommender must rank for, because no two are the same."""

from collections.abc import Iterator
from itertools import count

from bench.servers import DATASETS
from ranking.testing import FIRST_DATASET_ID


def new_questions() -> Iterator[str]:
    """Yield paths without end; each names another dataset and user, so no cached result answers it."""
    for number in count():
        dataset = FIRST_DATASET_ID + number % (DATASETS - 1)
        yield f"/recommend/detail/{dataset}?user_id={number + 1}&limit=20"
