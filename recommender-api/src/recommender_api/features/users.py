"""Decodes a user's state from two blobs in Redis."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from contracts import redis_keys
from contracts.user_blob import LiveHistory, MalformedBlobError, PackedHistory, UserBlob
from ranking.engine import Engine
from recommender_api.features.snapshot import Snapshot

# Called with the error of a value that can't be decoded, and the key it was read from.
Undecodable = Callable[[Exception, str], None]


class UserBlobs:
    """The blobs of one user as they were read. An undecodable value is passed to `bad` and counts as absent."""

    def __init__(self, user_id: int, snapshot: Snapshot | None, bad: Undecodable) -> None:
        self._snapshot = snapshot
        self._bad = bad
        live = redis_keys.live_history(user_id)
        self.keys = [live] if snapshot is None else [live, *snapshot.keys_of(user_id)]

    def live(self, values: list[bytes | None]) -> tuple[int, PackedHistory]:
        """Return the live history (since the snapshot) and its sequence number; `values` belong to `keys`."""
        data = values[0]
        if data is None:
            return 0, PackedHistory()
        try:
            return LiveHistory.opened(data)
        except MalformedBlobError as error:
            self._bad(error, self.keys[0])
            return 0, PackedHistory()

    def long_term(self, values: list[bytes | None], engine: Engine) -> tuple[NDArray[np.float32] | None, PackedHistory]:
        """Return the features as an engine reads them, None if only its defaults apply, and the long-term history."""
        if self._snapshot is None:
            return None, PackedHistory()
        key, data = next(
            ((key, value) for key, value in zip(self.keys[1:], values[1:], strict=True) if value is not None), ("", b"")
        )
        # An empty value says that the user was removed.
        if not data:
            return None, PackedHistory()
        try:
            features, history = UserBlob.opened(data)
        except MalformedBlobError as error:
            self._bad(error, key)
            return None, PackedHistory()
        return self._snapshot.features_for(engine, features), history
