"""The ranker's input, computed here and nowhere else."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.features import FEATURES, ITEM_FEATURES, USER_FEATURES
from ranking.recall import Candidates
from ranking.user import User

_COLUMN = {feature.name: column for column, feature in enumerate(FEATURES)}
_ITEM = slice(0, len(ITEM_FEATURES))
_SCORES = slice(_COLUMN["score_behavior"], _COLUMN["score_popular"] + 1)
_RANKS = slice(_COLUMN["rank_behavior"], _COLUMN["rank_popular"] + 1)
_USER = slice(_COLUMN["user_interactions"], _COLUMN["user_interactions"] + len(USER_FEATURES))
_MEAN_PRICE = _COLUMN["user_mean_price"]


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
    items = candidates.items
    matrix = np.zeros((len(items), len(FEATURES)), np.float32)
    matrix[:, _ITEM] = item_rows
    matrix[:, _SCORES] = candidates.scores
    matrix[:, _RANKS] = candidates.ranks
    matrix[:, _COLUMN["channel_count"]] = (candidates.ranks > 0).sum(axis=1)
    matrix[:, _USER] = user.features
    content = table.content[items]
    if len(user.items):
        if (mean_price := matrix[0, _MEAN_PRICE] if len(items) else 0.0) > 0:
            matrix[:, _COLUMN["user_price_gap"]] = table.log_price[items] - mean_price
        matrix[:, _COLUMN["user_content_affinity"]] = content @ (user.weights @ table.content[user.items])
        same = table.provider[items][:, None] == table.provider[user.items][None, :]
        matrix[:, _COLUMN["user_provider_share"]] = same @ user.weights
    if anchor is not None:
        matrix[:, _COLUMN["anchor_content_similarity"]] = content @ table.content[anchor]
        matrix[:, _COLUMN["anchor_price_gap"]] = table.log_price[items] - table.log_price[anchor]
        matrix[:, _COLUMN["anchor_same_provider"]] = table.provider[items] == table.provider[anchor]
    return matrix
