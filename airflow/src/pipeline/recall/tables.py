"""All recall tables except the popular lists, which depend on the time of the query."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.recall.behavior import behavior_neighbours
from pipeline.recall.interest import interest_matrix
from pipeline.recall.svd import item_factors, unit_rows
from pipeline.recall.top_k import nearest
from pipeline.recall.transition import transition_neighbours
from pipeline.records import Records
from ranking.recall import Neighbours, RecallTables

NEIGHBOURS = 100
_VECTOR_RANK = 64
LEAST_COSINE = 0.05
# Below this cosine two texts have a common word, but not a common subject.
_LEAST_CONTENT = 0.15


def build_tables(records: Records, content: Neighbours, seed: int, vector: Neighbours | None = None) -> RecallTables:
    """Return the tables made from the interactions in `records`, without the popular lists.

    `vector` are the neighbours by the user's own vectors; without any, those by the factors of the interactions.
    """
    interest = interest_matrix(records)
    return RecallTables(
        behavior_neighbours(interest, NEIGHBOURS),
        content,
        _by_factors(interest, seed) if vector is None else vector,
        transition_neighbours(records, NEIGHBOURS, seed),
    )


def _by_factors(interest: sparse.csr_array, seed: int) -> Neighbours:
    return nearest(unit_rows(item_factors(interest, _VECTOR_RANK, seed)), NEIGHBOURS, LEAST_COSINE)


def own_neighbours(vectors: NDArray[np.float32]) -> Neighbours:
    """Return the neighbours by own unit vectors [n, d]; a dataset with zeros has none, and is nobody's."""
    return nearest(vectors, NEIGHBOURS, LEAST_COSINE)


def content_neighbours(vectors: NDArray[np.float32]) -> Neighbours:
    """Return the neighbours by text."""
    return nearest(vectors, NEIGHBOURS, _LEAST_CONTENT)
