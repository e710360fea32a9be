"""All recall tables except the popular lists, which depend on the time of the query."""

import numpy as np
from numpy.typing import NDArray

from pipeline.recall.behavior import behavior_neighbours
from pipeline.recall.interest import interest_matrix
from pipeline.recall.nearest import nearest
from pipeline.recall.svd import item_factors, unit_rows
from pipeline.recall.transition import transition_neighbours
from pipeline.records import Records
from ranking.recall import Neighbours, RecallTables

NEIGHBOURS = 100
_VECTOR_RANK = 64
# Below this cosine two texts have a common word, but not a common subject.
_LEAST_CONTENT = 0.15


def build_tables(records: Records, content: Neighbours, seed: int) -> RecallTables:
    """Return the tables made from the interactions in `records`, without the popular lists."""
    interest = interest_matrix(records)
    factors = item_factors(interest, _VECTOR_RANK, seed)
    return RecallTables(
        behavior_neighbours(interest, NEIGHBOURS),
        content,
        nearest(unit_rows(factors), NEIGHBOURS, least=0.05),
        transition_neighbours(records, NEIGHBOURS, seed),
    )


def content_neighbours(vectors: NDArray[np.float32]) -> Neighbours:
    """Return the neighbours by text."""
    return nearest(vectors, NEIGHBOURS, _LEAST_CONTENT)
