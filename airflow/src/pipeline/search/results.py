"""What a search has found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import TypeAdapter

EndedBy = Literal["trials", "minutes", "interrupt"]


@dataclass(frozen=True)
class SearchedData:
    """What was searched on: a run's interactions without those that the evaluation tests on."""

    users: int
    datasets: int
    interactions: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Trial:
    """A trial: its values by key, and its nDCG@10 less that of the current configuration.

    `gain` is None if it could not be trained; then `failure` says why.
    """

    number: int
    values: Mapping[str, Any]
    gain: float | None
    failure: str | None
    seconds: float


@dataclass(frozen=True)
class Confirmation:
    """nDCG@10 of the current configuration and of the best trial, on queries of users that no trial saw.

    `low` and `high` are the 95 % interval of the gain.
    """

    queries: int
    users: int
    current: float
    best: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class SearchResult:
    """A search: `current` are the values of the current configuration, `ndcg` its nDCG@10 on the choosing queries.

    `best` is the number of the trial that was to be confirmed, None if none was ahead. `changes` are its values that
    differ from the current ones.
    """

    data: SearchedData
    seed: int
    asked_trials: int
    ended_by: EndedBy
    queries: int
    current: Mapping[str, Any]
    ndcg: float
    trials: Sequence[Trial]
    best: int | None
    confirmation: Confirmation | None
    changes: Mapping[str, Any]
    seconds: float

    @property
    def is_better(self) -> bool:
        """Whether the best trial is confirmed: the whole interval of its gain is above 0."""
        return self.confirmation is not None and self.confirmation.low > 0

    def document(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        document: dict[str, Any] = _DOCUMENT.dump_python(self, mode="json")
        return document | {"is_better": self.is_better}


_DOCUMENT = TypeAdapter(SearchResult)
