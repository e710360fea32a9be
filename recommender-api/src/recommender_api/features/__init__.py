"""User features from Redis: the active feature snapshot and the live history, decoded for the engine."""

from recommender_api.features.snapshot import Snapshot, SnapshotWatch
from recommender_api.features.users import UserBlobs

__all__ = ["Snapshot", "SnapshotWatch", "UserBlobs"]
