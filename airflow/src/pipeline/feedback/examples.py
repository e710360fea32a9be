"""Replays answers, so that a ranker can learn from what they showed, or order it anew."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.feedback.answers import ShownAnswer
from pipeline.records import Records
from pipeline.train import TrainSettings
from pipeline.train.graded import GradedExample
from pipeline.train.lambdamart import example_rows
from pipeline.train.queries import Moments, PastQueries, replay_moments
from ranking.ranker import Ranker
from ranking.replay import Kind, Knowledge

_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class FeedbackSettings:
    """Which exposures a training uses.

    Those of the last `days`, at most the newest `most`, each half as much per `half_life_days`; none if fewer than
    `least` answers with an outcome can be replayed.
    """

    is_used: bool = True
    days: int = 30
    most: int = 32_000
    least: int = 500
    half_life_days: float = 14.0


class ReplayedAnswer(NamedTuple):
    """An answer, the features of what it showed [m, columns], and the places of these rows [m].

    Datasets that recall doesn't propose any more have no row.
    """

    answer: ShownAnswer
    matrix: NDArray[np.float32]
    places: NDArray[np.int64]


def replay_answers(records: Records, knowledge: Knowledge, answers: Iterable[ShownAnswer]) -> Iterator[ReplayedAnswer]:
    """Yield the answers, which are in ascending time, with the features of their moment; tables must end before it."""
    answers = list(answers)
    moments = Moments(
        np.array([answer.user for answer in answers], np.int32),
        np.array([answer.at for answer in answers], np.int64),
        np.full(len(answers), Kind.USER, np.uint8),
        [np.empty(0, np.int32)] * len(answers),
    )
    for answer, (_, candidates, matrix) in zip(answers, replay_moments(records, knowledge, moments), strict=True):
        row_of = {int(item): row for row, item in enumerate(candidates.items)}
        places = np.array([place for place, item in enumerate(answer.items) if int(item) in row_of], np.int64)
        rows = [row_of[int(answer.items[place])] for place in places]
        yield ReplayedAnswer(answer, matrix[rows], places)


def graded_examples(
    replayed: Iterable[ReplayedAnswer], until: int, half_life_days: float, settings: TrainSettings
) -> list[GradedExample]:
    """Return what can be learned: answers of which something was taken, and something was not."""
    found = []
    for answer, matrix, places in replayed:
        grades = answer.grades[places]
        if not grades.any() or grades.all():
            continue
        weight = 0.5 ** ((until - answer.at) / _SECONDS_PER_DAY / half_life_days)
        rows = example_rows(matrix, settings)
        found.append(GradedExample(rows, grades, places.astype(np.int32), weight, answer.user))
    return found


def order_by(ranker: Ranker, replayed: ReplayedAnswer) -> NDArray[np.int64]:
    """Return the places of an answer in the ranker's order [k]; datasets without features come last, by their number.

    It depends on the set of the datasets alone, not on the order that was drawn.
    """
    scores = np.full(len(replayed.answer.items), -np.inf)
    if len(replayed.places):
        scores[replayed.places] = ranker.scores(replayed.matrix)
    return np.lexsort((replayed.answer.ids, -scores))


def served_order(answer: ShownAnswer) -> NDArray[np.int64]:
    """Return the places of an answer in the order of the scores that it was served with [k]."""
    return np.lexsort((answer.ids, -answer.scores))


def without_outcomes(past: PastQueries, records: Records, taken: Collection[tuple[int, int]]) -> PastQueries:
    """Return the queries without those whose target is one of the pairs of user and dataset."""
    if not taken:
        return past
    pairs = zip(records.user[past.rows].tolist(), records.item[past.rows].tolist(), strict=True)
    kept = np.array([pair not in taken for pair in pairs], np.bool_)
    return past._replace(rows=past.rows[kept], kinds=past.kinds[kept])


def outcomes_of(answers: Sequence[ShownAnswer]) -> set[tuple[int, int]]:
    """Return all pairs of user and dataset that had an outcome."""
    return {pair for answer in answers for pair in answer.taken}
