"""What answers have shown, in the positions of the catalogue."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.records import Records

UNKNOWN = -1


@dataclass(frozen=True)
class ShownAnswer:
    """One answer, first to last: ids, catalogue positions (-1: unknown), the scores, and grades 0 to 3, each [k].

    `user` is a row of the records' users, `at` in Unix seconds.
    """

    user: int
    at: int
    ids: NDArray[np.int64]
    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    grades: NDArray[np.uint8]
    is_drawn: bool

    @property
    def taken(self) -> list[tuple[int, int]]:
        """The user with each known dataset that had an outcome."""
        return [(self.user, int(item)) for item in self.items[self.grades > 0] if item != UNKNOWN]


def shown_answers(exposures: pa.Table, records: Records) -> list[ShownAnswer]:
    """Return the answers to known users that have a score for each of at least two datasets, in ascending time."""
    found = []
    for row in exposures.to_pylist():
        place = int(np.searchsorted(records.user_ids, row["user_id"]))
        ids, scores = np.array(row["dataset_ids"], np.int64), np.array(row["scores"], np.float32)
        if place == len(records.user_ids) or records.user_ids[place] != row["user_id"]:
            continue
        if len(ids) < 2 or len(scores) != len(ids):
            continue
        items = np.array([_position(records, int(id_)) for id_ in ids], np.int32)
        grades = np.array(row["grades"], np.uint8)
        found.append(ShownAnswer(place, row["at"], ids, items, scores, grades, row["is_drawn"]))
    return found


def _position(records: Records, dataset_id: int) -> int:
    position = records.catalogue.position(dataset_id)
    return UNKNOWN if position is None else position


def are_measuring(answers: list[ShownAnswer], seed: int) -> NDArray[np.bool_]:
    """Return which answers measure, [q]: the drawn ones of half of the users. No model learns from their outcomes."""
    users = np.array([answer.user for answer in answers], np.int64)
    half = np.random.default_rng(seed).random(int(users.max(initial=0)) + 1) < 0.5
    return np.array([answer.is_drawn for answer in answers], np.bool_) & half[users]
