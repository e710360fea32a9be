"""The evaluation part of a model: queries after a cut in time, and the twin that was trained on the data before it.

Nothing in it says who a user is: a query has a history, and a number that only says which queries are of one user.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.model_versions import MODEL_NAME
from ranking.diversity import DiversitySettings
from ranking.evaluation.models import RankingModel
from ranking.item_stats import StatsState
from ranking.recall import RecallSettings

MAX_HISTORY = 50
MAX_BYTES = 5_000_000
# Scoring takes as long as these are many. Pipelines make parts of 2,100 datasets and 8,000 queries at most.
MAX_DATASETS, MAX_QUERIES = 10_000, 20_000


class PartManifest(BaseModel):
    """`manifest.json` of a part; fields of a later release are ignored.

    The queries are asked from `cut` on, and the twin was trained until `trained_until`, which is before it. `share` is
    the share of all queries after the cut that are about the part's datasets; `origin` is that of the statistics.
    """

    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    name: Annotated[str, Field(pattern=MODEL_NAME)]
    run_id: Annotated[str, Field(min_length=1, max_length=64)]
    cut: AwareDatetime
    trained_until: AwareDatetime
    feature_schema: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    datasets: Annotated[int, Field(ge=1, le=MAX_DATASETS)]
    queries: Annotated[int, Field(ge=1, le=MAX_QUERIES)]
    queries_after_cut: Annotated[int, Field(ge=1)]
    share: Annotated[float, Field(ge=0, le=1)]
    origin: float
    recall: RecallSettings
    diversity: DiversitySettings


@dataclass(frozen=True)
class ItemData:
    """The data of n datasets that isn't the model's: as of the cut, and what happened to them since.

    `created_at` int64 [n], `prices` float64 [n], `provider` int32 [n], and the interactions after the cut in ascending
    time: `item` int32 [m], `ts` int64 [m], `types` uint8 [m].
    """

    created_at: NDArray[np.int64]
    prices: NDArray[np.float64]
    provider: NDArray[np.int32]
    at_cut: StatsState
    item: NDArray[np.int32]
    ts: NDArray[np.int64]
    types: NDArray[np.uint8]


@dataclass(frozen=True)
class HeldOutQueries:
    """q queries in ascending time `at` int64 [q], Unix seconds.

    `user` int32 [q] numbers the users from 0 in the order of their first query. `kinds` uint8 [q] are endpoints
    (`ranking.replay.Kind`), `features` float32 [q, user features], `answer` int32 [q] the right dataset. The entries of
    all histories and of all hidden datasets (taken in the query's own second) follow one another: `history_counts`
    and `hidden_counts` [q] say how many belong to each query. Histories are newest first, at most `MAX_HISTORY`;
    `ages` are seconds before the query.
    """

    at: NDArray[np.int64]
    user: NDArray[np.int32]
    kinds: NDArray[np.uint8]
    features: NDArray[np.float32]
    answer: NDArray[np.int32]
    history_counts: NDArray[np.int64]
    history: NDArray[np.int32]
    ages: NDArray[np.int64]
    types: NDArray[np.uint8]
    hidden_counts: NDArray[np.int64]
    hidden: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True)
class EvaluationPart:
    """A part in memory; positions are those of the twin's `ids`."""

    manifest: PartManifest
    twin: RankingModel
    items: ItemData
    queries: HeldOutQueries
