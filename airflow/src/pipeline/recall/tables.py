"""All recall tables except the popular list, which depends on the time of the query."""

import numpy as np
from numpy.typing import NDArray

from pipeline.recall.behavior import behavior_neighbours
from pipeline.recall.interest import interest_matrix
from pipeline.recall.nearest import nearest
from pipeline.recall.svd import item_factors, unit_rows
from pipeline.records import Records
from ranking.recall import Neighbours, Popular, RecallTables

NEIGHBOURS = 100
_VECTOR_RANK = 64
# Below this cosine two texts have a common word, but not a common subject.
_LEAST_CONTENT = 0.15
NO_POPULAR = Popular(np.empty(0, np.int32), np.empty(0, np.float32))


def build_tables(records: Records, content: Neighbours, seed: int) -> RecallTables:
    """Return the tables made from the interactions in `records`, without a popular list."""
    interest = interest_matrix(records)
    factors = item_factors(interest, _VECTOR_RANK, seed)
    return RecallTables(
        behavior_neighbours(interest, NEIGHBOURS),
        content,
        nearest(unit_rows(factors), NEIGHBOURS, least=0.05),
        NO_POPULAR,
    )


def content_neighbours(vectors: NDArray[np.float32]) -> Neighbours:
    """Return the neighbours by text."""
    return nearest(vectors, NEIGHBOURS, _LEAST_CONTENT)
