"""The registry's tables."""

from sqlalchemy import JSON, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

from servicekit.database import UtcDateTime

SCHEMA = "registry"
metadata = MetaData(schema=SCHEMA)

# One row per model, locked while a version is numbered or a deployment changes.
models = Table("models", metadata, Column("name", String(63), primary_key=True))

versions = Table(
    "versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("manifest", JSON, nullable=False),
    # The trained version that this one renews; null for a trained one.
    Column("refreshes", Integer),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("model", "version"),
    UniqueConstraint("model", "sha256"),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("mode", String(16), nullable=False),
    Column("rollout", Float, nullable=False),
    # active, replaced, rolled_back, failed
    Column("state", String(16), nullable=False),
    Column("failed_stage", String(16)),
    Column("detail", Text),
    Column("reason", Text),
    Column("deployed_by", String(200)),
    Column("previous_version", Integer),
    # The deployment that a rollback restored: the next rollback continues from there.
    Column("restores", Integer),
    Column("created_at", UtcDateTime, nullable=False),
    Index("deployments_of_model", "model", "mode", "state"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("replica_id", String(128), primary_key=True),
    Column("version", String(32)),
    Column("state", String(32), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("reported_at", UtcDateTime, nullable=False),
)
