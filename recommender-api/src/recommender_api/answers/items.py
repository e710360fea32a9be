"""Convert catalogue positions to the items of an answer."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from contracts.features import CHANNELS
from ranking.engine import Best
from ranking.json_items import BytesTable, json_items
from ranking.recall import channels_of
from recommender_api.answers.stored import Served, StoredAnswer
from recommender_api.models.serving import LoadedModel

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
    """Return the answer that shows `positions` in this order; all sequences have the same length.

    `ends` are the parts of the items' JSON that follow the score, as the functions below return them.
    """
    ids: list[int] = model.engine.contents.catalogue.ids.take(positions).tolist()
    if not ids:
        return StoredAnswer(served, ids, b"[]", sequence, snapshot)
    written = orjson.dumps(np.asarray(scores, np.float32), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    parts = [b""] * (3 * len(ids))
    parts[0::3] = model.cards.up_to_score(positions)
    parts[1::3] = written
    parts[2::3] = ends
    return StoredAnswer(served, ids, b"[%b]" % b"".join(parts)[1:], sequence, snapshot)


def answer_of_best(
    model: LoadedModel, served: Served, best: Best, *, sequence: int, snapshot: str | None
) -> StoredAnswer:
    """Return the answer that shows the ranked items without explanations."""
    items = json_items(best.items, best.codes, best.scores, model.cards.written, BY_CHANNELS)
    if items is None:
        ends = BY_CHANNELS.texts(best.codes)
        return answer_of(model, served, best.items, best.scores, ends, sequence=sequence, snapshot=snapshot)
    ids: list[int] = model.engine.contents.catalogue.ids.take(best.items).tolist()
    return StoredAnswer(served, ids, items, sequence, snapshot)


@cache
def unexplained(reasons: tuple[str, ...]) -> bytes:
    """Return the JSON that ends an item, with these reasons."""
    return b',"reasons":%b,"explanation":null}' % orjson.dumps(reasons)


def explained(reasons: tuple[str, ...], explanation: Explanation) -> bytes:
    """Return the JSON that ends an item, with these reasons and an explanation."""
    return b',"reasons":%b,"explanation":%b}' % (orjson.dumps(reasons), orjson.dumps(explanation))


# The JSON that ends an item without explanation, by the code of the channels that proposed it.
BY_CHANNELS = BytesTable(2 ** len(CHANNELS))
for _code, _channels in enumerate(channels_of(range(2 ** len(CHANNELS)))):
    BY_CHANNELS[_code] = unexplained(_channels)
