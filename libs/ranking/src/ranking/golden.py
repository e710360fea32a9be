"""Golden requests: requests in the bundle, each with the answer that the bundle gave when it was made."""

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from contracts.ids import DatasetId
from contracts.user_blob import History
from ranking.user import NO_TIME


class GoldenRequest(BaseModel):
    """A request in ids and Unix seconds, and its expected answer: ids best first, and their scores."""

    model_config = ConfigDict(extra="forbid")

    dataset_id: DatasetId | None = None
    at: Annotated[int, Field(ge=0)] = NO_TIME
    user_features: list[float] = []
    history_ids: list[DatasetId] = []
    history_ts: list[int] = []
    history_types: list[Annotated[int, Field(ge=0, le=4)]] = []
    expected_ids: list[DatasetId]
    expected_scores: list[float]

    def history(self) -> History:
        """Return the history as arrays."""
        return History(
            np.array(self.history_ids, np.int64),
            np.array(self.history_ts, np.int64),
            np.array(self.history_types, np.uint8),
        )
