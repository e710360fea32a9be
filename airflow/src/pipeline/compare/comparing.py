"""Chooses the queries for two sources, and compares them."""

from typing import NamedTuple

from pipeline.compare.sources import ComparedModel
from pipeline.errors import InputError
from ranking.evaluation import ModelComparison, NotComparableError, compare
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
    asked, part = None, None
    for source in (second, first):
        if source.part is not None and (part is None or source.part.manifest.cut > part.manifest.cut):
            asked, part = source.name, source.part
    if asked is None or part is None:
        raise InputError(f"{first.name} and {second.name} have no queries: one of them needs an evaluation part")
    try:
        result = compare(part, first.model, second.model, tolerance=tolerance)
    except NotComparableError as error:
        raise InputError(f"{first.name} and {second.name} on the queries of {asked}: {error}") from error
    except UnusableRankerError as error:
        raise InputError(f"{first.name} or {second.name}: {error}") from error
    return Compared(first.name, second.name, asked, result)
