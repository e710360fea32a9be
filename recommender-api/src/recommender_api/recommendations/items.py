"""From catalogue positions to the items of an answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ranking.catalogue import Catalogue
from recommender_api.recommendations.stored import Served, StoredAnswer

Explanation = dict[str, Any]

# A float32 score has no more digits than these.
SCORE_DIGITS = 7


def answer_of(
    catalogue: Catalogue,
    served: Served,
    positions: NDArray[np.int32],
    scores: Sequence[float],
    reasons: Sequence[Sequence[str]],
    explanations: Sequence[Explanation] | None = None,
    *,
    sequence: int = 0,
    snapshot: str | None = None,
) -> StoredAnswer:
    """Return the answer that shows `positions` in this order; all sequences are of one length."""
    ids: list[int] = catalogue.ids[positions].tolist()
    prices: list[float] = catalogue.prices[positions].tolist()
    items = [
        {
            "dataset_id": ids[row],
            "title": catalogue.titles[position],
            "price": prices[row],
            "cover_image": catalogue.cover_images[position],
            "score": round(scores[row], SCORE_DIGITS),
            "reasons": reasons[row],
            "explanation": None if explanations is None else explanations[row],
        }
        for row, position in enumerate(positions.tolist())
    ]
    return StoredAnswer(served, ids, orjson.dumps(items), sequence, snapshot)
