"""The canonical tables. A user with other tables maps them by SQL files instead (`business.statements`)."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Float, MetaData, Table, Text
from sqlalchemy.sql.expression import false

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("external_id", Text),
    Column("company_name", Text),
    Column("province", Text),
    Column("city", Text),
    Column("created_at", DateTime(timezone=True)),
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("external_id", Text),
    Column("title", Text, nullable=False),
    Column("description", Text),
    Column("tags", Text),
    Column("price", Float),
    Column("provider", Text),
    Column("cover_image", Text),
    Column("created_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
    Column("is_deleted", Boolean, nullable=False, server_default=false()),
)

# No foreign keys: inconsistent rows are found, counted and reported by the quality checks, and must not make a load
# fail.
interactions = Table(
    "interactions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, index=True),
    Column("dataset_id", BigInteger, index=True),
    Column("type", Text),
    Column("price", Float),
    Column("ts", DateTime(timezone=True), index=True),
)
