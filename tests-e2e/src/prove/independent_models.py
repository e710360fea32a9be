"""A second implementation of the evaluation's simple models: plain loops, and nothing of the pipeline's code.

It takes the pairs of users and datasets with the time of their first interaction.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.evaluate import AT_CUT, LEAVE_LAST_OUT, ROLLING
from pipeline.evaluate.baselines.models import HALF_LIFE_DAYS, SLIT

Scores = dict[str, dict[str, float]]
Ints = NDArray[np.int64]
_DAY = 86_400


def independent_scores(user: Ints, item: Ints, ts: Ints) -> Scores:
    """Return nDCG@10 by protocol and model."""
    keep = np.ones(len(ts), np.bool_)
    while True:
        fits = keep & (np.bincount(user[keep], minlength=user.max() + 1) >= 5)[user]
        fits &= (np.bincount(item[keep], minlength=item.max() + 1) >= 5)[item]
        if (fits == keep).all():
            break
        keep = fits
    user, item = (np.unique(column[keep], return_inverse=True)[1] for column in (user, item))
    order = np.lexsort((np.random.default_rng(0).random(keep.sum()), ts[keep]))
    user, item, ts = user[order], item[order], ts[keep][order]
    mine = [np.flatnonzero(user == each) for each in range(user.max() + 1)]
    last = np.sort([rows[-1] for rows in mine if len(rows) > 1])
    held = np.isin(np.arange(len(ts)), last)
    cut = ts[int(len(ts) * 0.8)]
    before = ts < cut
    back = [(u, cut, item[rows[~before[rows]]]) for u, rows in enumerate(mine) if 0 < before[rows].sum() < len(rows)]
    new = [(user[r], ts[r], item[[r]]) for r in np.flatnonzero(~before) if before[mine[user[r]]].any()]
    return {
        LEAVE_LAST_OUT: _scores_of(user, item, ts, (~held, ~held), [(user[r], ts[r], item[[r]]) for r in last]),
        AT_CUT: _scores_of(user, item, ts, (before, before), back),
        ROLLING: _scores_of(user, item, ts, (before, before | True), new),
    }


def _scores_of(user: Ints, item: Ints, ts: Ints, parts: tuple[Any, Any], queries: list[Any]) -> dict[str, float]:
    train, known = parts
    n, mine = item.max() + 1, [np.flatnonzero(user == each) for each in range(user.max() + 1)]
    x = np.zeros((len(mine), n), np.float32)
    x[user[train], item[train]] = 1
    p = np.linalg.inv((x.T @ x).astype(np.float64) + 400 * np.eye(n))
    ease = p / -np.diag(p)
    np.fill_diagonal(ease, 0)
    slit_b = _slit(item, train, mine, n)
    found: dict[str, list[float]] = {"popularity": [], "popularity_decayed": [], "ease": [], "slit": []}
    gains = 1 / np.log2(np.arange(2, 12))
    for asked, at, answers in queries:
        rows = mine[asked][known[mine[asked]] & (ts[mine[asked]] <= at) & ~np.isin(item[mine[asked]], answers)]
        past = item[rows[ts[rows] < at]][::-1]
        earlier = known & (ts < at)
        decayed = np.bincount(item[earlier], 0.5 ** ((at - ts[earlier]) / (HALF_LIFE_DAYS * _DAY)), n)
        directed = np.exp(-np.arange(len(past)) / SLIT["past_ranks"]) @ slit_b[past]
        for name, score in zip(found, (x.sum(axis=0), decayed, ease[past].sum(axis=0), directed), strict=True):
            ranked = np.where(np.isin(np.arange(n), item[rows]), -np.inf, score)
            top = np.argsort(-ranked, kind="stable")[:10]
            found[name].append((np.isin(top, answers) @ gains) / gains[: len(answers)].sum())
    return {name: float(np.mean(values)) for name, values in found.items()}


def _slit(item: Ints, train: NDArray[np.bool_], mine: list[Ints], n: int) -> NDArray[np.float64]:
    s, t = [], []
    for rows in mine:
        seen = item[rows[train[rows]]]
        for j in range(1, len(seen)):
            s.append((seen[:j][::-1], np.exp(-np.arange(j) / SLIT["past_ranks"])))
            t.append((seen[j:], np.exp(-np.arange(len(seen) - j) / SLIT["next_ranks"])))
    big_s, big_t = (
        sparse.csr_array(
            (
                np.concatenate([w for _, w in a]),
                np.concatenate([c for c, _ in a]),
                np.cumsum([0, *(len(c) for c, _ in a)]),
            ),
            shape=(len(a), n),
        )
        for a in (s, t)
    )
    solved: NDArray[np.float64] = np.linalg.solve(
        (big_s.T @ big_s).toarray() + SLIT["regularisation"] * np.eye(n), (big_s.T @ big_t).toarray()
    )
    return solved
