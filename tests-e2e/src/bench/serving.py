"""What an answer costs, beside the smallest FastAPI service."""

from itertools import islice
from pathlib import Path

from bench.questions import new_questions
from bench.results import Goal, Result
from bench.rounds import compare
from bench.servers import hello, recommender, surroundings


def measure(folder: Path) -> list[Result]:
    """Compare ranked and cached answers with a hello."""
    questions = new_questions()
    with surroundings(folder) as around, recommender(around, "api", {}) as api, hello(around) as yardstick:
        cost = compare(
            {"ranked": api, "cached": api, "hello": yardstick},
            {
                "ranked": lambda n: list(islice(questions, n)),
                "cached": lambda n: ["/similar/101?limit=20"] * n,
                "hello": lambda n: ["/"] * n,
            },
        )
    part = "serving: "
    return [
        Result(part + "CPU of hello", cost["hello"].cpu, "µs"),
        Result(part + "CPU of a ranked answer / hello", cost["ranked"].cpu / cost["hello"].cpu, "×", Goal(most=2.0)),
        Result(part + "CPU of a cached answer / hello", cost["cached"].cpu / cost["hello"].cpu, "×", Goal(most=0.7)),
    ]
