"""What users took next: SLIT while the item-item matrix fits into memory, counted transitions above that."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.recall.behavior import LEAST_USERS, MAX_EASE_ITEMS, spread, top_k_of_product
from pipeline.recall.nearest import top_k
from pipeline.recall.slit import decayed_pairs, slit
from pipeline.records import Records
from ranking.recall import Neighbours

# Those of the simple model, too; the newest examples, because habits change.
PAST_RANKS, NEXT_RANKS, REGULARISATION = 4.0, 4.0, 100.0
MAX_EXAMPLES = 500_000


def new_pairs(records: Records, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return users and datasets of the newest new pairs, by user and then by time; the seed decides ties."""
    order = newest_by_user(records, records.first_of_pair, seed)
    return records.user[order], records.item[order]


def newest_by_user(records: Records, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the newest `MAX_EXAMPLES` of some rows, by user and then by time; the seed decides ties."""
    tie = np.random.default_rng(seed).random(len(rows))
    order = rows[np.lexsort((tie, records.ts[rows]))][-MAX_EXAMPLES:]
    return order[np.argsort(records.user[order], kind="stable")]


def transition_neighbours(records: Records, k: int, seed: int, most_dense: int = MAX_EASE_ITEMS) -> Neighbours:
    """Return for each dataset the `k` that users took after it; datasets with fewer than two users have none.

    Above `most_dense` datasets, the transitions are counted.
    """
    user, item = new_pairs(records, seed)
    n = len(records.catalogue)
    active = np.flatnonzero(np.bincount(item, minlength=n) >= LEAST_USERS)
    if not len(active):
        return Neighbours(np.full((n, 1), -1, np.int32), np.zeros((n, 1), np.float32))
    place = np.full(n, -1, np.int32)
    place[active] = np.arange(len(active))
    inside = place[item] >= 0
    user, column = user[inside], place[item[inside]]
    if len(active) <= most_dense:
        weights = slit(
            user, column, len(active), past_ranks=PAST_RANKS, next_ranks=NEXT_RANKS, regularisation=REGULARISATION
        )
        found = top_k(len(active), len(active), lambda start, stop: weights[start:stop].copy(), k)
    else:
        past = decayed_pairs(user, column, len(active), PAST_RANKS, first=-1)
        following = decayed_pairs(user, column, len(active), NEXT_RANKS, first=0)
        found = _counted(past, following, k)
    return spread(found, active, n)


def _counted(past: sparse.csr_array, following: sparse.csr_array, k: int) -> Neighbours:
    """Return the neighbours by decayed counts of transitions, relative to how often both occur."""
    norms = [np.sqrt(np.maximum(np.asarray(each.sum(axis=0)), 1e-9)) for each in (past, following)]
    before, after = (
        sparse.csr_array(each @ sparse.diags_array(1.0 / norm).astype(np.float32))
        for each, norm in zip((past, following), norms, strict=True)
    )
    return top_k_of_product(sparse.csr_array(before.T), after, k)
