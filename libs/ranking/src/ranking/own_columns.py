"""Columns of datasets and users that a user has declared, as a bundle carries them beside the built-in features.

A declared column is one number for each dataset or user, as of the run. In the ranker's input they follow the built-in
columns: those of datasets, those of users, and one for each name that both have.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.features import FEATURES, OWN_DATASET, OWN_GAP, OWN_SAME, OWN_USER, Feature

MAX_COLUMNS = 16
# All categories of a column share the code 0, after so many that have one of their own.
MAX_CATEGORIES = 100
MAX_CATEGORY_CHARS = 64
MAX_SQL_CHARS = 10_000
# Of a value that is no known category.
NO_CATEGORY = 0.0
_DEFINITION_CHARS = 16


class OwnColumn(BaseModel):
    """A declared column; `categories` in the order of their codes, from 1, belong to the type `category`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,39}$")]
    sql: Annotated[str, Field(min_length=1, max_length=MAX_SQL_CHARS)]
    type: Literal["number", "category"]
    default: Annotated[float, Field(ge=-1e30, le=1e30)] = 0.0
    categories: Annotated[
        tuple[Annotated[str, Field(max_length=MAX_CATEGORY_CHARS)], ...], Field(max_length=MAX_CATEGORIES)
    ] = ()

    def feature(self, prefix: str) -> Feature:
        """Return the column as a feature of the ranker; what its numbers mean is in `definition`."""
        return Feature(prefix + self.name, default=self.default, definition=_hash(self.model_dump(mode="json")))


_Columns = Annotated[tuple[OwnColumn, ...], Field(max_length=MAX_COLUMNS)]


class OwnColumns(BaseModel):
    """`own_columns.json` of a bundle: all declared columns, in the order of the ranker's input."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: _Columns = ()
    users: _Columns = ()

    @model_validator(mode="after")
    def _fit(self) -> Self:
        for half, columns in (("datasets", self.datasets), ("users", self.users)):
            names = [column.name for column in columns]
            if repeated := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"{repeated[0]} stands twice in {half}")
        for dataset, user in self._shared():
            if (dataset.type, dataset.categories) != (user.type, user.categories):
                raise ValueError(f"{user.name} of users is of another type than that of datasets")
        return self

    @property
    def features(self) -> tuple[Feature, ...]:
        """All columns as features, in their order."""
        datasets = (column.feature(OWN_DATASET) for column in self.datasets)
        return (*datasets, *self.user_features, *(_pair_feature(*pair) for pair in self._shared()))

    @property
    def user_features(self) -> tuple[Feature, ...]:
        """The columns of users as features."""
        return tuple(column.feature(OWN_USER) for column in self.users)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of `features`."""
        return tuple(feature.name for feature in self.features)

    @property
    def user_defaults(self) -> NDArray[np.float32]:
        """The defaults of the columns of users, float32 [u]."""
        return np.array([column.default for column in self.users], np.float32)

    @property
    def pairs(self) -> NDArray[np.int32]:
        """The columns of datasets and users with one name: both places, and whether it is a category; int32 [p, 3]."""
        pairs = [
            (self.datasets.index(dataset), self.users.index(user), dataset.type == "category")
            for dataset, user in self._shared()
        ]
        return np.array(pairs, np.int32).reshape(-1, 3)

    def without_categories(self) -> "OwnColumns":
        """Return the columns as they are declared, before a training finds the categories."""
        return OwnColumns(
            datasets=tuple(column.model_copy(update={"categories": ()}) for column in self.datasets),
            users=tuple(column.model_copy(update={"categories": ()}) for column in self.users),
        )

    def _shared(self) -> list[tuple[OwnColumn, OwnColumn]]:
        users = {column.name: column for column in self.users}
        return [(column, users[column.name]) for column in self.datasets if column.name in users]


NO_COLUMNS = OwnColumns()


def column_names(own: OwnColumns) -> list[str]:
    """Return the names of all columns of the ranker's input, built-in and declared."""
    return [*(feature.name for feature in FEATURES), *own.names]


def arrange_features(
    values: NDArray[np.float32], stored: Sequence[Feature], wanted: Sequence[Feature]
) -> NDArray[np.float32]:
    """Return [.., wanted] from [.., stored]; a feature that is not stored has its default."""
    if tuple(stored) == tuple(wanted):
        return values
    arranged = np.empty((*values.shape[:-1], len(wanted)), np.float32)
    places = {feature: place for place, feature in enumerate(stored)}
    for place, feature in enumerate(wanted):
        arranged[..., place] = values[..., places[feature]] if feature in places else feature.default
    return arranged


def _pair_feature(dataset: OwnColumn, user: OwnColumn) -> Feature:
    prefix = OWN_SAME if dataset.type == "category" else OWN_GAP
    return Feature(
        prefix + dataset.name, definition=_hash([column.model_dump(mode="json") for column in (dataset, user)])
    )


def _hash(declaration: object) -> str:
    canonical = json.dumps(declaration, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_DEFINITION_CHARS]
