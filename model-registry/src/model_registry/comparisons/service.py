"""Compares two versions on the same queries, as the gate does before a deployment."""

from typing import NamedTuple

from contracts.version_comparisons import VersionComparison
from model_registry.database import Database
from model_registry.errors import NotComparableError
from model_registry.evaluations.sandbox_jobs import ComparisonDiedError, UnusablePartError
from model_registry.evaluations.service import Evaluations
from model_registry.versions import queries


class Pair(NamedTuple):
    """The versions to compare, by number or alias."""

    first: str
    second: str


class Comparisons:
    """Compares versions; a difference up to the share `tolerance` of nDCG@10 counts as none."""

    def __init__(self, database: Database, evaluations: Evaluations, tolerance: float) -> None:
        self._database = database
        self._evaluations = evaluations
        self._tolerance = tolerance

    def compare(self, model: str, pair: Pair) -> VersionComparison:
        """Compare two versions.

        Raises `NotFoundError`, `NotComparableError`, `BusyError` and `UnavailableError`.
        """
        with self._database.transaction("find_compared") as connection:
            first, second = (queries.get(connection, model, version) for version in pair)
        for each in (first, second):
            if each.refreshes is not None:
                raise NotComparableError(
                    f"version {each.version} is a refresh and has no evaluation part; compare version {each.refreshes}"
                )
            if each.evaluation_sha256 is None:
                raise NotComparableError(f"version {each.version} has no evaluation part; push it with --evaluation")
        name = f"version {first.version}"
        try:
            found = self._evaluations.compare(model, second, {name: first.evaluation_sha256}, self._tolerance)
        except (UnusablePartError, ComparisonDiedError, OSError) as error:
            raise NotComparableError(f"version {second.version} can't be compared: {error}") from error
        compared = found.get(name)
        if compared is None:
            raise NotComparableError(f"the evaluation part of {name} is gone or can't be used; push it again")
        if compared.document is None:
            raise NotComparableError(
                f"version {second.version} can't be compared with {name}: {compared.not_comparable}"
            )
        figures = dict(compared.document) | {"tolerance": self._tolerance}
        scores = {"first_ndcg@10": figures.pop("first"), "second_ndcg@10": figures.pop("second")}
        versions = {"name": model, "first": str(first.version), "second": str(second.version)}
        return VersionComparison.model_validate({**figures, **scores, **versions})
