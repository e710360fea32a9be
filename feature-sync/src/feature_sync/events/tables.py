"""The table of behaviour events."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table

from servicekit.database import UtcDateTime

SCHEMA = "events"
metadata = MetaData(schema=SCHEMA)

behavior_events = Table(
    "behavior_events",
    metadata,
    # On SQLite the key is the id alone.
    Column("event_id", String(64), primary_key=True),
    Column("type", String(16), nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("dataset_id", BigInteger, nullable=False),
    Column("request_id", String(128)),
    Column("position", Integer),
    Column("experiment_variant", String(64)),
    Column("ts", UtcDateTime, primary_key=True),
    Column("received_at", UtcDateTime, nullable=False),
    Index("behavior_events_user", "user_id", "ts"),
    Index("behavior_events_received", "received_at"),
)
