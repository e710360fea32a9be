"""What exposures teach a ranker, and what they measure, against a marketplace whose truth is known."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.results import Goal, Result
from pipeline.feedback.examples import FeedbackSettings, order_by
from pipeline.feedback.off_policy import DrawnOutcomes, Estimate, snips
from pipeline.feedback.position_curve import position_curve
from pipeline.feedback.training import Feedback, gather_feedback, measure_order
from pipeline.recall import build_tables, content_neighbours
from pipeline.train import TrainingPart, TrainSettings, training_queries, training_tables
from pipeline.train.challengers import Shape, train_shape
from pipeline.train.graded import GradedExample
from pipeline.train.model import replay_parts
from pipeline.train.queries import user_at
from prove.shown_marketplace import SHOWN, ShownMarketplace, Size, examination, simulate, true_ndcg
from ranking.ranker import Ranker
from ranking.recall import RecallSettings
from ranking.replay import Kind, Knowledge, candidate_features, make_query

FULL = Size(datasets=400, users=1200, answers=20_000)
LEAST_GAIN = 0.05
MOST_CURVE_ERROR = 0.1
RUNS, LEAST_HELD = 100, 90
_ASKED = 300
_NOTHING = np.empty(0, np.int32)


class Rankers(NamedTuple):
    """nDCG@10 by true preferences of the same ranker without and with exposures.

    `off_policy` is the estimate for the second one, `brought` what its order truly brings in the answers that measure.
    """

    without: float
    with_exposures: float
    feedback: Feedback
    off_policy: dict[str, Any]
    brought: float


def prove(folder: Path, seed: int) -> list[Result]:
    """Train without and with exposures, and measure curve and intervals."""
    logging.disable(logging.WARNING)
    try:
        found = compare_rankers(simulate(folder, FULL, seed), seed)
        error = curve_error(60_000, seed)
        held = sum(interval_holds(2_000, seed + number) for number in range(RUNS))
    finally:
        logging.disable(logging.NOTSET)
    return [
        Result("feedback: nDCG@10 of preferences, trained without exposures", found.without, "nDCG"),
        Result("feedback: nDCG@10 of preferences, trained with exposures", found.with_exposures, "nDCG"),
        Result(
            "feedback: gain by exposures", found.with_exposures / found.without - 1, "share", Goal(least=LEAST_GAIN)
        ),
        Result("feedback: answers that were learned from", len(found.feedback.graded), "answers"),
        Result(
            "feedback: outcomes per answer by the new order, estimated", _value(found.off_policy, "value"), "outcomes"
        ),
        Result("feedback: lower bound of the estimate", _value(found.off_policy, "low"), "outcomes"),
        Result("feedback: upper bound of the estimate", _value(found.off_policy, "high"), "outcomes"),
        Result("feedback: outcomes per answer by the new order, in truth", found.brought, "outcomes"),
        Result("feedback: largest error of the position curve", error, "share", Goal(most=MOST_CURVE_ERROR)),
        Result(f"feedback: intervals that hold the truth, of {RUNS}", held, "runs", Goal(least=LEAST_HELD)),
    ]


def _value(off_policy: dict[str, Any], name: str) -> float:
    return float(off_policy["new_order"][name]) if off_policy["is_identifiable"] else float("nan")


def compare_rankers(market: ShownMarketplace, seed: int, training: TrainSettings | None = None) -> Rankers:
    """Train on the clicks alone, and on the clicks and the exposures."""
    settings = training or TrainSettings(queries=6_000, trees=100, seed=seed)
    shape = Shape(linear=False, trees=settings.trees)

    def ranker(parts: Sequence[TrainingPart], graded: Sequence[GradedExample]) -> Ranker:
        kept = replay_parts(records, parts, settings, graded)
        return Ranker(train_shape(shape, kept.examples, settings, kept.graded))

    records, recall = market.records, RecallSettings()
    content = content_neighbours(market.items.table.content)
    parts = [
        TrainingPart(past, Knowledge(training_tables(records, past, content, seed), recall, market.items.table))
        for past in training_queries(records, settings)
    ]
    feedback = gather_feedback(records, parts[-1], market.exposures, FeedbackSettings(least=100), settings)
    without = ranker(parts, ())
    parts = [part._replace(past=feedback.without_measured(part.past, records)) for part in parts]
    taught = ranker(parts, feedback.graded)
    knowledge = Knowledge(build_tables(records, content, seed), recall, market.items.table)
    before, after = _true_ndcg_of(market, knowledge, [without, taught], seed)
    return Rankers(
        before,
        after,
        feedback,
        measure_order(feedback, taught),
        _brought(market, feedback, taught),
    )


def _brought(market: ShownMarketplace, feedback: Feedback, ranker: Ranker) -> float:
    found = [
        market.wanted[replayed.answer.user, replayed.answer.items[order_by(ranker, replayed)]]
        for replayed in feedback.measuring
    ]
    return float((np.array(found).reshape(-1, SHOWN) @ examination(SHOWN)).sum() / max(1, len(found)))


def _true_ndcg_of(market: ShownMarketplace, knowledge: Knowledge, rankers: Sequence[Ranker], seed: int) -> list[float]:
    records = market.records
    stats = records.new_stats()
    stats.add(records.item, records.ts, records.types)
    users = np.random.default_rng(seed).permutation(len(records.user_ids))[:_ASKED]
    gains, matrices = [], []
    for user in users.tolist():
        question = make_query(user_at(records, knowledge.settings, user, None), Kind.USER, _NOTHING)
        candidates, matrix = candidate_features(question, knowledge, stats, records.end)
        gains.append(market.wanted[user, candidates.items])
        matrices.append(matrix)
    return [
        true_ndcg(gains, [np.argsort(-ranker.scores(matrix), kind="stable") for matrix in matrices])
        for ranker in rankers
    ]


def curve_error(answers: int, seed: int) -> float:
    """Return the largest error of the position curve as a share of the truth, from answers in random order."""
    rng = np.random.default_rng(seed)
    wanted = rng.beta(1, 3, (answers, SHOWN))
    taken = rng.random(wanted.shape) < examination(SHOWN) * wanted
    truth = examination(SHOWN) / examination(1)
    return float(np.abs(np.array(position_curve(list(taken.astype(np.uint8)))) / truth - 1).max())


def interval_holds(answers: int, seed: int) -> bool:
    """Return whether the interval of an order's value holds its true value, for answers that were drawn at random."""
    drawn, orders, truth = drawn_answers(answers, seed)
    found: Estimate = snips(drawn, orders)
    return bool(found.low <= truth <= found.high)


def drawn_answers(answers: int, seed: int) -> tuple[DrawnOutcomes, list[NDArray[np.int64]], float]:
    """Return drawn answers, an order that knows the preferences roughly, and the outcomes that it brings per answer."""
    rng = np.random.default_rng(seed)
    users = rng.integers(0, answers // 5, answers)
    # A user is as active as another one, but wants more or less of everything.
    wanted = rng.beta(1, 3, (answers, SHOWN)) * rng.uniform(0.3, 1.0, answers // 5)[users, None]
    orders = np.argsort(-wanted - 0.1 * rng.standard_normal(wanted.shape), axis=1)
    taken = rng.random(wanted.shape) < examination(SHOWN) * wanted
    truth = float((np.take_along_axis(wanted, orders, axis=1) @ examination(SHOWN)).mean())
    return DrawnOutcomes(users, list(taken)), list(orders), truth
