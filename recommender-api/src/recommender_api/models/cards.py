"""Datasets as answers show them, written as JSON once."""

import orjson

from ranking.catalogue import Catalogue


class Cards:
    """The part of an answer's item that is the same in every answer; written when it is first shown."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._written: list[bytes | None] = [None] * len(catalogue)

    def open_object(self, position: int) -> bytes:
        """Return a JSON object with a dataset's id, title, price and cover image, still open at its end."""
        written = self._written[position]
        if written is None:
            catalogue = self._catalogue
            card = {
                "dataset_id": int(catalogue.ids[position]),
                "title": catalogue.titles[position],
                "price": float(catalogue.prices[position]),
                "cover_image": catalogue.cover_images[position],
            }
            written = self._written[position] = orjson.dumps(card)[:-1]
        return written
