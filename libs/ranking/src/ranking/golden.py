"""Golden requests: requests in the bundle, each with the answer that the bundle gave when it was made."""

from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.features import USER_FEATURES
from contracts.ids import DatasetId
from contracts.user_blob import History
from ranking.own_columns import MAX_COLUMNS
from ranking.user import NO_TIME

# What compiled code gets: as many as there are in a column, and within its types.
MAX_GOLDEN = 1000
_MAX_LENGTH = 10_000
_MAX_SECONDS = 2**40


class GoldenRequest(BaseModel):
    """A request in ids and Unix seconds, and its expected answer: ids best first, and their scores."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    dataset_id: DatasetId | None = None
    at: Annotated[int, Field(ge=0, le=_MAX_SECONDS)] = NO_TIME
    user_features: Annotated[list[float], Field(max_length=len(USER_FEATURES) + MAX_COLUMNS)] = []
    history_ids: Annotated[list[DatasetId], Field(max_length=_MAX_LENGTH)] = []
    history_ts: list[Annotated[int, Field(ge=-_MAX_SECONDS, le=_MAX_SECONDS)]] = []
    history_types: list[Annotated[int, Field(ge=0, le=4)]] = []
    expected_ids: Annotated[list[DatasetId], Field(max_length=_MAX_LENGTH)]
    expected_scores: list[float]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if not len(self.history_ids) == len(self.history_ts) == len(self.history_types):
            raise ValueError("history_ids, history_ts and history_types have different lengths")
        return self

    def history(self) -> History:
        """Return the history as arrays."""
        return History(
            np.array(self.history_ids, np.int64),
            np.array(self.history_ts, np.int64),
            np.array(self.history_types, np.uint8),
        )
