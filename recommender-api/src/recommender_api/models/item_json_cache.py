"""Writes the JSON of each dataset once and reuses it in all answers."""

from collections.abc import Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

from ranking.catalogue import Catalogue, Column
from ranking.json_items import BytesTable

# The size of a card's member names, its dataset's id and its price.
_BESIDE_TEXTS = 128
# The size of `"external_id":"",`, for datasets that have one.
_BESIDE_EXTERNAL_ID = 17


class ItemJsonCache:
    """The part of an answer's item that is the same in every answer; written when the dataset is first shown.

    For each position already shown, `written` has a comma and the JSON object of its dataset, which ends before the
    score.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.written = BytesTable(len(catalogue), _room(catalogue))
        self._catalogue = catalogue

    def up_to_score(self, positions: NDArray[np.int32]) -> list[bytes]:
        """Return that part for each position."""
        texts = self.written.texts(positions)
        return [text or self._write(int(position)) for text, position in zip(texts, positions, strict=True)]

    def _write(self, position: int) -> bytes:
        catalogue = self._catalogue
        card: dict[str, object] = {"dataset_id": int(catalogue.ids[position])}
        if catalogue.external_ids is not None and (external_id := catalogue.external_ids[position]) is not None:
            card["external_id"] = external_id
        card |= {
            "title": catalogue.titles[position],
            "price": float(catalogue.prices[position]),
            "cover_image": catalogue.cover_images[position],
        }
        text = self.written[position] = b',%b,"score":' % orjson.dumps(card)[:-1]
        return text


def _room(catalogue: Catalogue) -> int:
    """Return the size of all cards in bytes, without the escapes of JSON."""
    rows = len(catalogue) + 1
    room = rows * _BESIDE_TEXTS + _size(catalogue.titles) + _size(catalogue.cover_images)
    if catalogue.external_ids is not None:
        room += rows * _BESIDE_EXTERNAL_ID + _size(catalogue.external_ids)
    return room


def _size(column: Sequence[str | None]) -> int:
    return column.size if isinstance(column, Column) else sum(len((text or "null").encode()) for text in column)
