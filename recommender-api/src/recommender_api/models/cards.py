"""Datasets as answers show them, written as JSON once."""

from collections.abc import Sequence

import orjson

from ranking.catalogue import Catalogue
from ranking.json_items import Parts


class Cards:
    """The part of an answer's item that is the same in every answer; written when it is first shown.

    `written` has, for each position that was, a comma and the JSON object of its dataset, open where the score belongs.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.written = Parts(len(catalogue))
        self._catalogue = catalogue

    def up_to_score(self, positions: Sequence[int]) -> list[bytes]:
        """Return that part of each position."""
        written = self.written
        return [written[position] or self._write(position) for position in positions]

    def _write(self, position: int) -> bytes:
        catalogue = self._catalogue
        card = {
            "dataset_id": int(catalogue.ids[position]),
            "title": catalogue.titles[position],
            "price": float(catalogue.prices[position]),
            "cover_image": catalogue.cover_images[position],
        }
        text = self.written[position] = b',%b,"score":' % orjson.dumps(card)[:-1]
        return text
