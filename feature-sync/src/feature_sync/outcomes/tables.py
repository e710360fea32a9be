"""The tables of outcomes, and of their sums for each hour."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from feature_sync.events.tables import metadata
from servicekit.database import UtcDateTime

outcomes = Table(
    "outcomes",
    metadata,
    Column("event_id", String(64), nullable=False),
    Column("ts", UtcDateTime, nullable=False),
    # One outcome of a type for each dataset that an exposure has shown.
    Column("type", String(16), primary_key=True),
    Column("user_id", BigInteger, nullable=False),
    Column("dataset_id", BigInteger, nullable=False),
    Column("exposure_id", String(64), primary_key=True),
    Column("position", Integer, primary_key=True),
    Index("outcomes_user", "user_id", "ts"),
    Index("outcomes_ts", "ts"),
)
# The position of outcomes that belong to no exposure; their hour is their own.
NOWHERE = -1
# The sums of the exposures of an hour, and of their outcomes, whenever these came.
outcome_hours = Table(
    "outcome_hours",
    metadata,
    Column("ts", UtcDateTime, primary_key=True),
    Column("model_version", String(64), primary_key=True),
    Column("variant", String(16), primary_key=True),
    Column("endpoint", String(32), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("exposures", BigInteger, nullable=False),
    Column("clicks", BigInteger, nullable=False),
    Column("favorites", BigInteger, nullable=False),
    Column("purchases", BigInteger, nullable=False),
)
# The column of each type of event.
SUM_OF = {"click": "clicks", "favorite": "favorites", "purchase": "purchases"}
SUMS = ("exposures", *SUM_OF.values())
