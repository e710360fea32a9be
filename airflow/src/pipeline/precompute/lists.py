"""The best 60 per dataset, as the engine answers `/similar` without a user, in the order of choice."""

import numpy as np

from contracts.features import CHANNELS
from pipeline.progress import Progress
from ranking.diversity import choose
from ranking.engine import Engine, RankingQuery, displayed_scores, find_candidates
from ranking.features import feature_matrix
from ranking.recall import Neighbours

SIZE = 60
_QUESTIONS_PER_BATCH = 128
_ANCHOR_CHANNELS = [CHANNELS.index(name) for name in ("behavior", "content", "vector", "transition")]


def precompute(engine: Engine, threads: int) -> Neighbours:
    """Return [n, 60] of positions and scores; a dataset without neighbours in any channel gets an empty row (-1)."""
    contents = engine.contents
    n = len(contents.catalogue)
    items = np.full((n, SIZE), -1, np.int32)
    scores = np.zeros((n, SIZE), np.float32)
    progress = Progress("precomputed lists", n)
    for start in range(0, n, _QUESTIONS_PER_BATCH):
        progress.advance(min(_QUESTIONS_PER_BATCH, start))
        asked = []
        for anchor in range(start, min(n, start + _QUESTIONS_PER_BATCH)):
            found = find_candidates(contents.recall, contents.recall_settings, RankingQuery(anchor))
            if (found.ranks[:, _ANCHOR_CHANNELS] > 0).any():
                rows = contents.item_rows[found.items]
                asked.append(
                    (
                        anchor,
                        found,
                        feature_matrix(found, rows, contents.table, anchor=anchor, user=RankingQuery().user),
                    )
                )
        if not asked:
            continue
        raw = engine.ranker.scores(np.concatenate([matrix for _, _, matrix in asked]), threads)
        done = 0
        for anchor, found, matrix in asked:
            own = raw[done : done + len(matrix)]
            best = choose(own, found.items, contents.table, contents.diversity, SIZE)
            items[anchor, : len(best)], scores[anchor, : len(best)] = found.items[best], displayed_scores(own[best])
            done += len(matrix)
    return Neighbours(items, scores)
