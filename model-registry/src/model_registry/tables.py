"""The registry's tables."""

from sqlalchemy import JSON, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

from servicekit.database import UtcDateTime

SCHEMA = "registry"
metadata = MetaData(schema=SCHEMA)

# One row per model, locked while a version is numbered or removed, or a deployment changes.
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
    # The evaluation part that was pushed beside the bundle, and what it says of itself; null if there is none.
    Column("evaluation_sha256", String(64)),
    Column("evaluation", JSON),
    # By which key it was signed, in base64, and when that signature was pushed; null if it is not signed.
    Column("signature", String(88)),
    Column("signature_key_id", String(16)),
    Column("signed_at", UtcDateTime),
    # When retention removed the bundle; the row stays for the history. Null while the version can be deployed.
    Column("removed_at", UtcDateTime),
    UniqueConstraint("model", "version"),
    UniqueConstraint("model", "sha256"),
)

# What a search of versions goes by, in small rows: those of `versions` are a hundred times as large.
version_facts = Table(
    "version_facts",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("trained_until", UtcDateTime),
    Column("pushed_by", String(200)),
    Column("description", Text),
    # Run, commit and description, in small letters.
    Column("search_text", Text, nullable=False),
)

version_tags = Table(
    "version_tags",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("key", String(63), primary_key=True),
    Column("value", String(250), nullable=False),
    # Not by the model first: SQLite would read all tags of the model for those of one version.
    Index("version_tags_by_value", "key", "model", "value", "version"),
)

# A name that points to one version of its model.
aliases = Table(
    "aliases",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("alias", String(63), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("set_at", UtcDateTime, nullable=False),
    Column("set_by", String(200)),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("url", Text, nullable=False),
    Column("events", JSON, nullable=False),
    # Signs what is posted, so it can't be a digest.
    Column("secret", String(200), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(200), nullable=False),
    # Until when one process alone sends to it.
    Column("claimed_until", UtcDateTime),
    # After a failure: not before this moment.
    Column("retry_at", UtcDateTime),
    Column("failures", Integer, nullable=False),
    Column("last_success_at", UtcDateTime),
    Column("last_error", Text),
    # What is being sent to a removed webhook must not be taken for another one's.
    sqlite_autoincrement=True,
)

# What waits; a delivery that has arrived has no row.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("webhook", Integer, nullable=False, index=True),
    Column("body", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

# What the checks of a bundle have found, by its content and the code that checked it.
checks = Table(
    "checks",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("code_version", String(16), primary_key=True),
    Column("manifest", JSON, nullable=False),
    # Null if the bundle can be deployed.
    Column("stage", String(16)),
    Column("detail", Text),
    Column("checked_at", UtcDateTime, nullable=False),
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
    Index("deployments_newest", "model", "id"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("replica_id", String(128), primary_key=True),
    # A registry of the release before writes none.
    Column("mode", String(16), primary_key=True, server_default="primary"),
    Column("deployment_id", String(32)),
    Column("version", String(32)),
    Column("state", String(32), nullable=False),
    Column("error", Text),
    # What it has answered lately; null from a replica of the release before.
    Column("traffic", JSON(none_as_null=True)),
    Column("since", UtcDateTime, nullable=False),
    Column("reported_at", UtcDateTime, nullable=False),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    # The version beside it, and the trained version that this one is or refreshes.
    Column("primary_version", Integer, nullable=False),
    Column("primary_trained", Integer, nullable=False),
    Column("steps", JSON, nullable=False),
    Column("step", Integer, nullable=False),
    Column("every_seconds", Float, nullable=False),
    # running, holding, completed, rolled_back, stopped
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_by", String(200)),
    Column("answered_by", String(200)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("step_since", UtcDateTime, nullable=False),
    # When a person last told it to wait.
    Column("asked_at", UtcDateTime),
    Column("reviewed_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    # Null after a rollback: a process was killed before it could report that.
    Column("rollback_reported_at", UtcDateTime),
    Column("evidence", JSON, nullable=False),
    # Until then, the registry that has claimed it drives it alone.
    Column("claimed_until", UtcDateTime),
    Index("rollouts_of_model", "model", "state"),
)

# One row per secret: after a rotation, a name has two valid ones for the overlap. Rows are never deleted.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(63), nullable=False, index=True),
    Column("role", String(16), nullable=False),
    # Names of models; null: all.
    Column("models", JSON(none_as_null=True)),
    # Ids of replicas, or their beginnings with `*`; null: all.
    Column("replicas", JSON(none_as_null=True)),
    # Of 256 random bits: nothing can be found out from it.
    Column("sha256", String(64), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)
