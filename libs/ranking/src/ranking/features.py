"""The ranker's input, computed here and nowhere else."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.features import FEATURES, ITEM_FEATURES, USER_FEATURES
from ranking.jit import compiled
from ranking.recall import Candidates
from ranking.user import User

_COLUMN = {feature.name: column for column, feature in enumerate(FEATURES)}
_ITEM = slice(0, len(ITEM_FEATURES))
_SCORES = slice(_COLUMN["score_behavior"], _COLUMN["score_popular"] + 1)
_RANKS = slice(_COLUMN["rank_behavior"], _COLUMN["rank_popular"] + 1)
_USER = slice(_COLUMN["user_interactions"], _COLUMN["user_interactions"] + len(USER_FEATURES))
_FIRST_RANK, _LAST_RANK = _RANKS.start, _RANKS.stop
_CHANNEL_COUNT = _COLUMN["channel_count"]
_MEAN_PRICE = _COLUMN["user_mean_price"]
_USER_PRICE_GAP = _COLUMN["user_price_gap"]
_USER_AFFINITY = _COLUMN["user_content_affinity"]
_USER_PROVIDER = _COLUMN["user_provider_share"]
_ANCHOR_SIMILARITY = _COLUMN["anchor_content_similarity"]
_ANCHOR_PRICE_GAP = _COLUMN["anchor_price_gap"]
_ANCHOR_PROVIDER = _COLUMN["anchor_same_provider"]


@dataclass(frozen=True)
class ItemTable:
    """What doesn't change with time: `content` float32 [n, d] of unit (or zero) rows, `provider` int32 [n],
    `log_price` float32 [n]."""

    content: NDArray[np.float32]
    provider: NDArray[np.int32]
    log_price: NDArray[np.float32]


def feature_matrix(
    candidates: Candidates, item_rows: NDArray[np.float32], table: ItemTable, *, anchor: int | None, user: User
) -> NDArray[np.float32]:
    """Return float32 [m, len(FEATURES)] for `m` candidates.

    `item_rows` float32 [m, len(ITEM_FEATURES)] are the candidates' item features: as of the moment of the query in
    training, as of the bundle's moment in serving.
    """
    matrix = np.empty((len(candidates.items), len(FEATURES)), np.float32)
    matrix[:, _ITEM] = item_rows
    matrix[:, _SCORES] = candidates.scores
    matrix[:, _RANKS] = candidates.ranks
    matrix[:, _USER] = user.features
    _fill(
        matrix,
        candidates.items,
        table.content,
        table.provider,
        table.log_price,
        user.items,
        user.weights,
        -1 if anchor is None else anchor,
    )
    return matrix


@compiled
def _fill(
    matrix: NDArray[np.float32],
    items: NDArray[np.int32],
    content: NDArray[np.float32],
    provider: NDArray[np.int32],
    log_price: NDArray[np.float32],
    history: NDArray[np.int32],
    weights: NDArray[np.float32],
    anchor: int,
) -> None:
    """Fill the columns that relate a candidate to the user's history and to the anchor (-1: none)."""
    taste = np.zeros(content.shape[1], np.float32)
    for number in range(len(history)):
        for dimension in range(len(taste)):
            taste[dimension] += weights[number] * content[history[number], dimension]
    for row in range(len(items)):
        item = items[row]
        channels = np.float32(0.0)
        for rank in range(_FIRST_RANK, _LAST_RANK):
            if matrix[row, rank] > 0:
                channels += np.float32(1.0)
        matrix[row, _CHANNEL_COUNT] = channels

        mean_price = matrix[row, _MEAN_PRICE]
        known = len(history) > 0 and mean_price > 0
        matrix[row, _USER_PRICE_GAP] = log_price[item] - mean_price if known else np.float32(0.0)
        matrix[row, _USER_AFFINITY] = _dot(content[item], taste)
        share = np.float32(0.0)
        for number in range(len(history)):
            if provider[history[number]] == provider[item]:
                share += weights[number]
        matrix[row, _USER_PROVIDER] = share

        if anchor < 0:
            matrix[row, _ANCHOR_SIMILARITY] = 0.0
            matrix[row, _ANCHOR_PRICE_GAP] = 0.0
            matrix[row, _ANCHOR_PROVIDER] = 0.0
        else:
            matrix[row, _ANCHOR_SIMILARITY] = _dot(content[item], content[anchor])
            matrix[row, _ANCHOR_PRICE_GAP] = log_price[item] - log_price[anchor]
            matrix[row, _ANCHOR_PROVIDER] = provider[item] == provider[anchor]


@compiled
def _dot(left: NDArray[np.float32], right: NDArray[np.float32]) -> np.float32:
    """Sum in four lanes, always the same ones: a BLAS picks its order by CPU and by how many rows there are."""
    a = b = c = d = np.float32(0.0)
    whole = len(left) // 4 * 4
    for start in range(0, whole, 4):
        a += left[start] * right[start]
        b += left[start + 1] * right[start + 1]
        c += left[start + 2] * right[start + 2]
        d += left[start + 3] * right[start + 3]
    for rest in range(whole, len(left)):
        a += left[rest] * right[rest]
    return (a + b) + (c + d)
