"""What an answer costs, beside the smallest FastAPI service and beside a recommender without any of this."""

import timeit
from itertools import islice
from pathlib import Path

import lightgbm as lgb
import numpy as np

from bench.questions import new_questions
from bench.results import Goal, Result
from bench.rounds import compare
from bench.servers import hello, naive, recommender, surroundings
from bench.size import FULL_SIZE
from contracts.user_blob import History
from ranking.engine import Engine, Question
from ranking.features import feature_matrix
from ranking.testing import tiny_contents

NAIVE_ROUNDS, NAIVE_REQUESTS = 8, 100
TURNS, CALLS = 25, 200
# Of a history whose question has 200 candidates.
_SEED = 10


def measure(folder: Path) -> list[Result]:
    """Compare ranked and cached answers with a hello, and the ranker with LightGBM's own."""
    engine = Engine(tiny_contents(size=FULL_SIZE))
    ranker = folder / "ranker.txt"
    ranker.write_text(engine.contents.ranker_text, encoding="utf-8")
    questions = new_questions()
    with (
        surroundings(folder) as around,
        recommender(around, "api", {}) as api,
        hello(around) as yardstick,
        naive(around, ranker) as first_try,
    ):
        cost = compare(
            {"ranked": api, "cached": api, "hello": yardstick},
            {
                "ranked": lambda n: list(islice(questions, n)),
                "cached": lambda n: ["/similar/101?limit=20"] * n,
                "hello": lambda n: ["/"] * n,
            },
        )
        # It takes so long that the others' quiet moments would be over.
        apart = compare(
            {"ranked": api, "naive": first_try},
            {"ranked": lambda n: list(islice(questions, n)), "naive": lambda n: ["/"] * n},
            rounds=NAIVE_ROUNDS,
            requests=NAIVE_REQUESTS,
        )
    part = "serving: "
    return [
        Result(part + "CPU of hello", cost["hello"].cpu, "µs"),
        Result(part + "CPU of a ranked answer / hello", cost["ranked"].cpu / cost["hello"].cpu, "×", Goal(most=2.0)),
        Result(part + "CPU of a cached answer / hello", cost["cached"].cpu / cost["hello"].cpu, "×", Goal(most=0.7)),
        Result(part + "CPU of the naive path / ranked", apart["naive"].cpu / apart["ranked"].cpu, "×", Goal(least=25)),
        *_ranking_alone(engine),
    ]


def _ranking_alone(engine: Engine) -> list[Result]:
    """Compare both ways of scoring on the rows of real questions."""
    rows = _rows(engine)
    booster = lgb.Booster(model_str=engine.contents.ranker_text)
    # By turns, for a machine's quiet moments are short.
    turns = [
        (
            timeit.timeit(lambda: engine.ranker.scores(rows), number=CALLS),
            timeit.timeit(lambda: booster.predict(rows, num_threads=1), number=CALLS),
        )
        for _ in range(TURNS)
    ]
    ours, theirs = (min(times) / CALLS for times in zip(*turns, strict=True))
    unequal = int((engine.ranker.scores(rows) != booster.predict(rows, num_threads=1)).sum())
    part = "ranking: "
    return [
        Result(part + "candidates", len(rows), ""),
        Result(part + "time of Booster.predict, one thread", theirs * 1e6, "µs"),
        Result(part + "Booster.predict / ranker", theirs / ours, "×", Goal(least=10)),
        Result(part + "scores that differ in any bit", unequal, "", Goal(most=0)),
    ]


def _rows(engine: Engine) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return the features of one question's candidates, asked by a user with a history."""
    ids = np.random.default_rng(_SEED).choice(engine.contents.catalogue.ids, 50, replace=False)
    history = History(ids, 1_767_000_000 - np.arange(len(ids)) * 3600, np.full(len(ids), 2, np.uint8))
    question = Question(5, engine.user(np.array([1.8, 0.2, 3.0], np.float32), history.packed()))
    found = engine.recall(question)
    return feature_matrix(
        found,
        engine.contents.item_rows[found.items],
        engine.contents.table,
        anchor=question.anchor,
        user=question.user,
    )
