"""What exposures give one training: examples to learn from, and answers that measure the order that it made."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.feedback.answers import ShownAnswer, are_measuring, shown_answers
from pipeline.feedback.examples import (
    FeedbackSettings,
    ReplayedAnswer,
    graded_examples,
    order_by,
    outcomes_of,
    replay_answers,
    served_order,
    without_outcomes,
)
from pipeline.feedback.off_policy import DrawnOutcomes, snips, snips_difference
from pipeline.feedback.position_curve import curve_of
from pipeline.records import Records
from pipeline.train import TrainingPart, TrainSettings
from pipeline.train.graded import GradedExample
from pipeline.train.queries import PastQueries
from ranking.ranker import Ranker

# With fewer, the interval says nothing.
LEAST_MEASURING = 100
_DISABLED = "feedback.enabled is false"


@dataclass(frozen=True)
class Feedback:
    """Examples for the training, and the replayed answers that measure its order; `reason` says why there are none."""

    graded: Sequence[GradedExample] = ()
    measuring: Sequence[ReplayedAnswer] = ()
    reason: str = ""
    answers: int = 0
    drawn: int = 0
    position_curve: Sequence[float] = ()
    measured: frozenset[tuple[int, int]] = field(default_factory=frozenset)

    def without_measured(self, past: PastQueries, records: Records) -> PastQueries:
        """Return the queries that a training may learn from: their targets measure no order."""
        return without_outcomes(past, records, self.measured)

    def document(self, ranker: Ranker) -> dict[str, Any]:
        """Return what was learned from, and what the order of `ranker` would have brought."""
        return {
            "is_used": bool(self.graded),
            "reason": self.reason,
            "answers": self.answers,
            "drawn": self.drawn,
            "examples": len(self.graded),
            "position_curve": [round(each, 4) for each in self.position_curve],
            "off_policy": measure_order(self, ranker),
        }


def gather_feedback(
    records: Records, part: TrainingPart, exposures: pa.Table, settings: FeedbackSettings, training: TrainSettings
) -> Feedback:
    """Return what a training gets of `EXPOSURES`.

    `part` are the queries whose tables are of the time before them: only answers of the same time can be replayed
    without knowing their outcomes.
    """
    if not settings.is_used:
        return Feedback(reason=_DISABLED)
    shown = shown_answers(exposures, records)
    known_until = records.end if part.past.known_until is None else part.past.known_until
    answers = [answer for answer in shown if answer.at >= known_until]
    found = Feedback(answers=len(answers), drawn=sum(each.is_drawn for each in shown), position_curve=curve_of(shown))
    measures = are_measuring(answers, training.seed)
    measuring = [answer for answer, does in zip(answers, measures, strict=True) if does]
    taken = outcomes_of(measuring)
    learned = _without(taken, [answer for answer, does in zip(answers, measures, strict=True) if not does])
    if len(learned) < settings.least:
        reason = f"{len(learned):,} answers with an outcome since the training's cut, fewer than feedback.least"
        return replace(found, reason=f"{reason} ({settings.least:,})")
    replayed = replay_answers(records, part.knowledge, learned)
    graded = graded_examples(replayed, records.end, settings.half_life_days, training)
    if not graded:
        return replace(found, reason="recall proposes nothing of what the answers have shown")
    return replace(
        found,
        graded=graded,
        measuring=list(replay_answers(records, part.knowledge, measuring)),
        measured=frozenset(taken),
    )


def measure_order(feedback: Feedback, ranker: Ranker) -> dict[str, Any]:
    """Return the outcomes per answer by the ranker's order, and by the served one, as `Estimate`s by name.

    Without enough answers in random order nothing is identifiable: the served order has no other one to compare with.
    """
    if feedback.reason == _DISABLED:
        return _unidentifiable(_DISABLED)
    if not feedback.drawn:
        return _unidentifiable("no answer was in random order: EXPLORATION_SHARE is 0")
    if len(feedback.measuring) < LEAST_MEASURING:
        return _unidentifiable(
            f"{len(feedback.measuring)} answers in random order measure, fewer than {LEAST_MEASURING}"
        )
    answers = [replayed.answer for replayed in feedback.measuring]
    drawn = DrawnOutcomes(np.array([each.user for each in answers]), [each.grades > 0 for each in answers])
    new = [order_by(ranker, replayed) for replayed in feedback.measuring]
    served = [served_order(answer) for answer in answers]
    return {
        "is_identifiable": True,
        "answers": len(answers),
        "users": len(set(drawn.users.tolist())),
        "random_order": float(np.mean([each.sum() for each in drawn.had_outcome])),
        "served_order": snips(drawn, served)._asdict(),
        "new_order": snips(drawn, new)._asdict(),
        "difference": snips_difference(drawn, new, served)._asdict(),
    }


def _unidentifiable(reason: str) -> dict[str, Any]:
    return {"is_identifiable": False, "reason": f"not identifiable: {reason}"}


def _without(taken: set[tuple[int, int]], answers: Sequence[ShownAnswer]) -> list[ShownAnswer]:
    return [each for each in answers if each.grades.any() and taken.isdisjoint(each.taken)]
