"""From catalogue positions to the items of an answer."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from contracts.features import CHANNELS
from ranking.recall import channels_of
from recommender_api.models import LoadedModel
from recommender_api.recommendations.stored import Served, StoredAnswer

Explanation = dict[str, Any]


def answer_of(
    model: LoadedModel,
    served: Served,
    positions: NDArray[np.int32],
    scores: Sequence[float] | NDArray[np.float32],
    ends: Sequence[bytes],
    *,
    sequence: int = 0,
    snapshot: str | None = None,
) -> StoredAnswer:
    """Return the answer that shows `positions` in this order; all sequences are of one length.

    `ends` are the items' JSON from behind the score: what the functions below return.
    """
    ids: list[int] = model.engine.contents.catalogue.ids.take(positions).tolist()
    if not ids:
        return StoredAnswer(served, ids, b"[]", sequence, snapshot)
    written = orjson.dumps(np.asarray(scores, np.float32), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    parts = [b""] * (3 * len(ids))
    parts[0::3] = model.cards.up_to_score(positions.tolist())
    parts[1::3] = written
    parts[2::3] = ends
    return StoredAnswer(served, ids, b"[%b]" % b"".join(parts)[1:], sequence, snapshot)


@cache
def unexplained(reasons: tuple[str, ...]) -> bytes:
    """Return the end of an item that is shown for these reasons."""
    return b',"reasons":%b,"explanation":null}' % orjson.dumps(reasons)


def explained(reasons: tuple[str, ...], explanation: Explanation) -> bytes:
    """Return the same with an explanation."""
    return b',"reasons":%b,"explanation":%b}' % (orjson.dumps(reasons), orjson.dumps(explanation))


# By the code of the channels that proposed an item.
BY_CHANNELS = [unexplained(channels) for channels in channels_of(range(2 ** len(CHANNELS)))]
