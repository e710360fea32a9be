"""What one answer was ranked with."""

from dataclasses import dataclass
from datetime import UTC, datetime
from random import getrandbits

import numpy as np
from numpy.typing import NDArray

from contracts.served_features import ServedHead, ServedVectors
from ranking.engine import FusedResult
from recommender_api.redis_store import NewServed


@dataclass(frozen=True, slots=True)
class ServedRanking:
    """The fields of `ServedHead` and `ServedVectors`, as the request has them; `moment` is in Unix seconds."""

    user_id: int
    moment: float
    endpoint: str
    dataset_id: int | None
    limit: int
    model_version: str
    bundle_sha256: str
    snapshot: str | None
    live: bytes
    hidden: NDArray[np.int32]
    result: FusedResult

    def pack(self, request_id: str) -> NewServed:
        """Return the entry of the stream."""
        head = ServedHead(
            user_id=self.user_id,
            # Not the request's id: callers may send the same one twice.
            served_id=f"srv-{getrandbits(64):016x}",
            ts=datetime.fromtimestamp(self.moment, UTC),
            request_id=request_id,
            endpoint=self.endpoint,
            dataset_id=self.dataset_id,
            max_items=self.limit,
            model_version=self.model_version,
            bundle_sha256=self.bundle_sha256,
            snapshot=self.snapshot,
        )
        best = self.result.best
        vectors = ServedVectors(
            self.result.items, self.result.considered, best.items, best.scores, self.hidden, self.live
        )
        return NewServed(head.model_dump_json().encode(), vectors.pack())
