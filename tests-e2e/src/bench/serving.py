"""The cost of an answer, compared with the smallest FastAPI service and with a naive recommender."""

import timeit
from itertools import islice
from pathlib import Path

import lightgbm as lgb
import numpy as np

from bench.queries import new_queries
from bench.results import Goal, Result
from bench.rounds import compare
from bench.servers import hello, naive, recommender, surroundings
from bench.size import FULL_SIZE
from contracts.features import FEATURES
from contracts.user_blob import History
from ranking.engine import Engine, RankingQuery
from ranking.features import feature_matrix
from ranking.testing import tiny_contents
from ranking.user import NOTHING_KNOWN

NAIVE_ROUNDS, NAIVE_REQUESTS = 8, 100
TURNS, CALLS = 25, 200
# A user whose queries have 200 candidates.
_SEED = 31
_LATEST = 1_767_000_000
_COLUMNS = [feature.name for feature in FEATURES]


def measure(folder: Path) -> list[Result]:
    """Compare ranked and cached answers with hello, and the ranker with LightGBM."""
    engine = Engine(tiny_contents(size=FULL_SIZE))
    ranker = folder / "ranker.txt"
    ranker.write_text(engine.contents.ranker_text, encoding="utf-8")
    paths = new_queries()
    with (
        surroundings(folder) as around,
        recommender(around, "api", {}) as api,
        hello(around) as yardstick,
        naive(around, ranker) as first_try,
    ):
        cost = compare(
            {"ranked": api, "cached": api, "hello": yardstick},
            {
                "ranked": lambda n: list(islice(paths, n)),
                "cached": lambda n: ["/similar/101?limit=20"] * n,
                "hello": lambda n: ["/"] * n,
            },
        )
        # The naive recommender runs separately: it takes so long that the others would miss the quiet moments.
        naive_cost = compare(
            {"ranked": api, "naive": first_try},
            {"ranked": lambda n: list(islice(paths, n)), "naive": lambda n: ["/"] * n},
            rounds=NAIVE_ROUNDS,
            requests=NAIVE_REQUESTS,
        )
    part = "serving: "
    return [
        Result(part + "CPU of hello", cost["hello"].cpu, "µs"),
        Result(part + "CPU of a ranked answer / hello", cost["ranked"].cpu / cost["hello"].cpu, "×", Goal(most=2.0)),
        Result(part + "CPU of a cached answer / hello", cost["cached"].cpu / cost["hello"].cpu, "×", Goal(most=0.7)),
        Result(
            part + "CPU of a naive answer / ranked",
            naive_cost["naive"].cpu / naive_cost["ranked"].cpu,
            "×",
            Goal(least=25),
        ),
        *_ranking_alone(engine),
    ]


def _ranking_alone(engine: Engine) -> list[Result]:
    """Compare both ways of scoring on the rows of real queries."""
    rows = _rows(engine)
    booster = lgb.Booster(model_str=engine.contents.ranker_text)
    # Only the columns that the ranker names.
    named = np.ascontiguousarray(rows[:, [_COLUMNS.index(name) for name in booster.feature_name()]])
    # By turns, because quiet moments of the machine are short.
    turns = [
        (
            timeit.timeit(lambda: engine.ranker.scores(rows), number=CALLS),
            timeit.timeit(lambda: booster.predict(named, num_threads=1), number=CALLS),
        )
        for _ in range(TURNS)
    ]
    ours, theirs = (min(times) / CALLS for times in zip(*turns, strict=True))
    unequal = int((engine.ranker.scores(rows) != booster.predict(named, num_threads=1)).sum())
    part = "ranking: "
    return [
        Result(part + "candidates", len(rows), ""),
        Result(part + "time of Booster.predict, one thread", theirs * 1e6, "µs"),
        Result(part + "Booster.predict / ranker", theirs / ours, "×", Goal(least=10)),
        Result(part + "scores that differ in any bit", unequal, "", Goal(most=0)),
    ]


def _rows(engine: Engine) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return the features of the candidates of one query, for a user with a history."""
    ids = np.random.default_rng(_SEED).choice(engine.contents.catalogue.ids, 50, replace=False)
    history = History(ids, _LATEST - np.arange(len(ids)) * 3600, np.full(len(ids), 2, np.uint8))
    question = RankingQuery(5, engine.user(NOTHING_KNOWN, history.packed(), at=_LATEST + 60))
    found = engine.recall(question)
    return feature_matrix(
        found,
        engine.contents.item_rows[found.items],
        engine.contents.table,
        anchor=question.anchor,
        user=question.user,
    )
