"""Chooses the queries for two sources, and compares them."""

from typing import NamedTuple

from pipeline.errors import InputError
from ranking.evaluation import ComparedModel, ModelComparison, NotComparableError, choose_queries, compare
from ranking.ranker import UnusableRankerError


class Compared(NamedTuple):
    """The names of both, whose queries were asked, and the result."""

    first: str
    second: str
    asked: str
    result: ModelComparison

    def document(self) -> dict[str, object]:
        """Return everything as JSON can express it."""
        return {"a": self.first, "b": self.second, "queries_of": self.asked, **self.result.document()}


def compare_sources(first: ComparedModel, second: ComparedModel, tolerance: float) -> Compared:
    """Compare on the queries with the later cut, which neither model may have seen; raises `InputError`."""
    try:
        asked, part = choose_queries(first, second)
    except NotComparableError as error:
        raise InputError(str(error)) from error
    try:
        result = compare(part, first.model, second.model, tolerance=tolerance)
    except NotComparableError as error:
        raise InputError(f"{first.name} and {second.name} on the queries of {asked}: {error}") from error
    except UnusableRankerError as error:
        raise InputError(f"{first.name} or {second.name}: {error}") from error
    return Compared(first.name, second.name, asked, result)
