"""The check that a loaded bundle answers as it did when it was made."""

import numpy as np

from contracts.user_blob import PackedHistory
from ranking.engine import Engine, RankingQuery
from ranking.golden import GoldenRequest

# Scores pass through float32 and a text model, and another CPU's exp may differ in the last digits.
SCORE_TOLERANCE = 1e-5


class GoldenMismatchError(ValueError):
    """The bundle doesn't give its golden answers; it must not be deployed."""


def answer(engine: Engine, request: GoldenRequest, limit: int) -> tuple[list[int], list[float]]:
    """Return dataset ids and scores, best first; raises `GoldenMismatchError` if the dataset isn't in the bundle."""
    anchor = None
    if request.dataset_id is not None:
        anchor = engine.contents.catalogue.position(request.dataset_id)
        if anchor is None:
            raise GoldenMismatchError(
                f"a golden request is about dataset {request.dataset_id}, which is not in the bundle"
            )
    features = np.array(request.user_features, np.float32) if request.user_features else None
    history = request.history().packed()
    question = RankingQuery(anchor, engine.user(features, history, at=request.at))
    ranked = engine.rank(question, engine.recall(question), limit)
    positions, scores = ranked.items.tolist(), ranked.scores.tolist()
    done = engine.rank_fused(features, history, PackedHistory(), anchor=anchor, limit=limit, at=request.at)
    if done is not None and (done.best.items.tolist(), done.best.scores.tolist()) != (positions, scores):
        raise GoldenMismatchError(
            "a golden request has different answers from the fused call and from the separate steps"
        )
    return engine.contents.catalogue.ids[positions].tolist(), scores


def verify(engine: Engine) -> int:
    """Check every golden request and return their number; raises `GoldenMismatchError` at the first difference."""
    for number, request in enumerate(engine.contents.golden):
        ids, scores = answer(engine, request, len(request.expected_ids))
        if ids != request.expected_ids:
            raise GoldenMismatchError(f"golden request {number}: got {ids}, expected {request.expected_ids}")
        if len(scores) != len(request.expected_scores):
            raise GoldenMismatchError(f"golden request {number}: {len(request.expected_scores)} expected scores")
        if not np.allclose(scores, request.expected_scores, rtol=0, atol=SCORE_TOLERANCE):
            raise GoldenMismatchError(f"golden request {number}: scores differ from the expected ones")
    return len(engine.contents.golden)
