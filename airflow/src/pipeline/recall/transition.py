"""What users took next: SLIT, and past its limit counted transitions for pairs that are not both popular."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.recall.behavior import LEAST_USERS
from pipeline.recall.dense import DENSE, DenseLimits, join_neighbours, popular_columns, spread
from pipeline.recall.slit import decayed_pairs, slit
from pipeline.recall.top_k import top_k, top_k_of_product
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
    """Return the newest `MAX_EXAMPLES` of some ascending rows, by user and then by time; the seed decides ties."""
    tie, ts = np.random.default_rng(seed).random(len(rows)), records.ts[rows]
    first = int(np.searchsorted(ts, ts[-MAX_EXAMPLES])) if len(rows) > MAX_EXAMPLES else 0
    order = rows[first:][np.lexsort((tie[first:], ts[first:]))][-MAX_EXAMPLES:]
    return order[np.argsort(records.user[order], kind="stable")]


def transition_neighbours(records: Records, k: int, seed: int, limits: DenseLimits = DENSE) -> Neighbours:
    """Return for each dataset the `k` that users took after it; datasets with fewer than two users have none."""
    user, item = new_pairs(records, seed)
    n = len(records.catalogue)
    active = np.flatnonzero(np.bincount(item, minlength=n) >= LEAST_USERS)
    if not len(active):
        return Neighbours(np.full((n, 1), -1, np.int32), np.zeros((n, 1), np.float32))
    user, column = _inside(user, item, active, n)
    if len(active) <= limits.all:
        return spread(_by_slit(user, column, len(active), k), active, n)
    popular = popular_columns(np.bincount(column, minlength=len(active)), limits)
    dense = _by_slit(*_inside(user, column, popular, len(active)), len(popular), k)
    counted = counted_transitions(user, column, len(active), k)
    return spread(join_neighbours(spread(dense, popular, len(active)), counted, popular, k), active, n)


def counted_transitions(user: NDArray[np.int32], column: NDArray[np.int32], columns: int, k: int) -> Neighbours:
    """Return the neighbours by decayed counts of transitions, relative to how often both occur."""
    past = decayed_pairs(user, column, columns, PAST_RANKS, first=-1)
    following = decayed_pairs(user, column, columns, NEXT_RANKS, first=0)
    norms = [np.sqrt(np.maximum(np.asarray(each.sum(axis=0)), 1e-9)) for each in (past, following)]
    before, after = (
        sparse.csr_array(each @ sparse.diags_array(1.0 / norm).astype(np.float32))
        for each, norm in zip((past, following), norms, strict=True)
    )
    return top_k_of_product(sparse.csr_array(before.T), after, k)


def _by_slit(user: NDArray[np.int32], column: NDArray[np.int32], columns: int, k: int) -> Neighbours:
    weights = slit(user, column, columns, past_ranks=PAST_RANKS, next_ranks=NEXT_RANKS, regularisation=REGULARISATION)
    return top_k(weights, k)


def _inside(
    user: NDArray[np.int32], item: NDArray[np.int32], columns: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the pairs with one of some columns of `n`, as users and places among them."""
    place = np.full(n, -1, np.int32)
    place[columns] = np.arange(len(columns))
    inside = place[item] >= 0
    return user[inside], place[item[inside]]
