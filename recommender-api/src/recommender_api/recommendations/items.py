"""From catalogue positions to the items of an answer."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from recommender_api.models import LoadedModel
from recommender_api.recommendations.stored import Served, StoredAnswer

Explanation = dict[str, Any]

# A float32 score has no more digits than these.
SCORE_DIGITS = 7


def answer_of(
    model: LoadedModel,
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
    ids: list[int] = model.engine.contents.catalogue.ids[positions].tolist()
    explained = [b"null"] * len(ids) if explanations is None else [orjson.dumps(each) for each in explanations]
    items = [
        b'%b,"score":%b,"reasons":%b,"explanation":%b}'
        % (model.cards.open_object(position), repr(round(score, SCORE_DIGITS)).encode(), _json(tuple(reason)), why)
        for position, score, reason, why in zip(positions.tolist(), scores, reasons, explained, strict=True)
    ]
    return StoredAnswer(served, ids, b"[%b]" % b",".join(items), sequence, snapshot)


@cache
def _json(reasons: tuple[str, ...]) -> bytes:
    """There are few sets of channels, and every item names one."""
    return orjson.dumps(reasons)
