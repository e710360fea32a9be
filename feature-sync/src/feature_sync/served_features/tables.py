"""The tables of served features, and of the moments at which snapshots became active."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from feature_sync.events.tables import metadata
from servicekit.database import UtcDateTime

served_features = Table(
    "served_features",
    metadata,
    Column("served_id", String(64), primary_key=True),
    Column("ts", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("endpoint", String(32), nullable=False),
    Column("dataset_id", BigInteger),
    Column("max_items", Integer, nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("bundle_sha256", String(64), nullable=False),
    Column("snapshot", String(256)),
    Column("vectors", LargeBinary, nullable=False),
    Index("served_features_user", "user_id", "ts"),
    Index("served_features_ts", "ts"),
)
snapshot_activations = Table(
    "snapshot_activations",
    metadata,
    Column("version", String(256), primary_key=True),
    Column("activated_at", UtcDateTime, nullable=False),
)
