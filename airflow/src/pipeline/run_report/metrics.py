"""The flat metrics of the evaluation as one table: a row for each model, a column for each metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Of these, the highest value is the best.
_RISING = ("ndcg", "recall", "map", "mrr")


@dataclass(frozen=True)
class ModelScores:
    """The values of one model in the order of the columns; `name` is empty for the stack."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class MetricsTable:
    """The stack first. `best` is the highest value of each column if higher is better; `facts` belong to no model.

    `intervals` are low and high of the stack's values, None for a column without them.
    """

    columns: Sequence[str]
    models: Sequence[ModelScores]
    best: Sequence[float | None]
    intervals: Sequence[tuple[float, float] | None]
    facts: Mapping[str, float]


def metrics_table(metrics: Mapping[str, float]) -> MetricsTable:
    """Return the table of `name` and its interval `name_low`, `name_high` (the stack's), and `name_model`."""
    base = {name: _base_of(name, metrics) for name in metrics}
    columns = [name for name in metrics if base[name] is None and ("@" in name or name in base.values())]
    models: dict[str, dict[str, float]] = {"": {name: metrics[name] for name in columns}}
    for name, column in base.items():
        if column is not None and name not in _bounds_of(column):
            models.setdefault(name.removeprefix(f"{column}_"), {})[column] = metrics[name]
    return MetricsTable(
        columns,
        [ModelScores(model, [scores.get(column) for column in columns]) for model, scores in models.items()],
        [_best(column, models) for column in columns],
        [_interval(column, metrics) for column in columns],
        {name: value for name, value in metrics.items() if base[name] is None and name not in columns},
    )


def _base_of(name: str, metrics: Mapping[str, float]) -> str | None:
    """Return the stack's metric that a baseline's name begins with, None if the name is not a baseline's."""
    found = [other for other in metrics if name.startswith(f"{other}_")]
    return min(found, key=len, default=None)


def _bounds_of(column: str) -> tuple[str, str]:
    return f"{column}_low", f"{column}_high"


def _interval(column: str, metrics: Mapping[str, float]) -> tuple[float, float] | None:
    low, high = (metrics.get(name) for name in _bounds_of(column))
    return None if low is None or high is None else (low, high)


def _best(column: str, models: Mapping[str, Mapping[str, float]]) -> float | None:
    if not column.lower().startswith(_RISING):
        return None
    return max((scores[column] for scores in models.values() if column in scores), default=None)
