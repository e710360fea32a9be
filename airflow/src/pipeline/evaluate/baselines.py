"""The baselines that the stack has to beat: popularity, ItemKNN with 50 neighbours, and EASE."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.evaluate.metrics import AT
from pipeline.recall.behavior import MAX_EASE_ITEMS, cosine_neighbours
from pipeline.recall.ease import ease

KNN = 50
# On MovieTweetings .0914 at 200, .0939 here, .0943 at 800; on demo data .1207, .1185, .1143.
EASE_REGULARISATION = 400.0
_USERS_PER_BLOCK = 1024

Scorer = Callable[[sparse.csr_array], NDArray[np.float32]]


def baselines(interest: sparse.csr_array) -> dict[str, Scorer]:
    """Return the baselines trained on `interest`; EASE is left out if its matrix would not fit into memory."""
    found = {"popularity": _popularity(interest), "itemknn": _item_knn(interest)}
    if interest.shape[1] <= MAX_EASE_ITEMS:
        weights = ease(interest, EASE_REGULARISATION)
        found["ease"] = lambda users: np.asarray(users @ weights)
    return found


def top_lists(scorer: Scorer, interest: sparse.csr_array, users: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return each user's best 10 of all unseen datasets; ties go to the lower position."""
    parts = []
    for start in range(0, len(users), _USERS_PER_BLOCK):
        seen = sparse.csr_array(interest[users[start : start + _USERS_PER_BLOCK]])
        scores = scorer(seen).astype(np.float32, copy=True)
        scores[seen.nonzero()] = -np.inf
        parts.append(np.argsort(-scores, axis=1, kind="stable")[:, :AT].astype(np.int32))
    return np.concatenate(parts)


def _popularity(interest: sparse.csr_array) -> Scorer:
    counts = np.asarray(interest.sum(axis=0), np.float32)
    return lambda users: np.tile(counts, (users.shape[0], 1))


def _item_knn(interest: sparse.csr_array) -> Scorer:
    found = cosine_neighbours(interest, KNN)
    rows, slots = np.nonzero(found.items >= 0)
    shape = (interest.shape[1], interest.shape[1])
    weights = sparse.csr_array((found.scores[rows, slots], (rows, found.items[rows, slots])), shape=shape)
    # A candidate is scored by its own 50 neighbours among the user's seen datasets (Deshpande and Karypis 2004).
    by_candidate = sparse.csr_array(weights.T)
    return lambda users: (users @ by_candidate).toarray()
