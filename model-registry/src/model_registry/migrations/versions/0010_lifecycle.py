"""The life of a version: aliases, tags, descriptions, search, webhooks; an index for pages of deployments."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_BATCH = 500


def upgrade() -> None:
    # The first revision creates the tables in their current form.
    inspector = sa.inspect(op.get_bind())
    indexes = {index["name"] for index in inspector.get_indexes("deployments", schema=_schema())}
    if "deployments_newest" not in indexes:
        op.create_index("deployments_newest", "deployments", ["model", "id"], schema=_schema())
    if inspector.has_table("aliases", schema=_schema()):
        return
    op.create_table(
        "version_facts",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("trained_until", sa.DateTime(timezone=True)),
        sa.Column("pushed_by", sa.String(200)),
        sa.Column("description", sa.Text),
        sa.Column("search_text", sa.Text, nullable=False),
        schema=_schema(),
    )
    op.create_table(
        "version_tags",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(63), primary_key=True),
        sa.Column("value", sa.String(250), nullable=False),
        schema=_schema(),
    )
    op.create_index(
        "version_tags_by_value", "version_tags", ["model", "key", "value", "version"], schema=_schema()
    )
    op.create_table(
        "aliases",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("alias", sa.String(63), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(200)),
        schema=_schema(),
    )
    _create_webhooks()
    _fill_facts()


def _create_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", sa.JSON, nullable=False),
        sa.Column("secret", sa.String(200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True)),
        sa.Column("retry_at", sa.DateTime(timezone=True)),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_success_at", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.Text),
        schema=_schema(),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("webhook", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        schema=_schema(),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_registry_webhook_deliveries_webhook", "webhook_deliveries", ["webhook"], schema=_schema()
    )


def downgrade() -> None:
    for table in ("webhook_deliveries", "webhooks", "aliases", "version_tags", "version_facts"):
        op.drop_table(table, schema=_schema())
    op.drop_index("deployments_newest", "deployments", schema=_schema())


def _fill_facts() -> None:
    """Fill in the facts of the versions that are there; 10,000 manifests are not read at once."""
    metadata = sa.MetaData(schema=_schema())
    versions = sa.Table(
        "versions",
        metadata,
        *(sa.Column("id", sa.Integer), sa.Column("model", sa.String), sa.Column("version", sa.Integer)),
        sa.Column("manifest", sa.JSON),
    )
    facts = sa.Table(
        "version_facts",
        metadata,
        *(sa.Column("model", sa.String), sa.Column("version", sa.Integer), sa.Column("search_text", sa.Text)),
        sa.Column("trained_until", sa.DateTime(timezone=True)),
    )
    connection, last = op.get_bind(), 0
    while True:
        found = sa.select(versions).where(versions.c.id > last).order_by(versions.c.id).limit(_BATCH)
        rows = connection.execute(found).all()
        if not rows:
            return
        connection.execute(sa.insert(facts), [_facts(row) for row in rows])
        last = rows[-1].id


def _facts(row: sa.Row[Any]) -> dict[str, Any]:
    manifest = row.manifest
    until = manifest.get("trained_until")
    return {
        "model": row.model,
        "version": row.version,
        "trained_until": None if until is None else _in_utc(until),
        "search_text": "\n".join((manifest["version"], manifest.get("git_commit") or "", "")).lower(),
    }


def _in_utc(moment: str) -> datetime | None:
    try:
        return datetime.fromisoformat(moment).astimezone(UTC)
    except OverflowError:
        # At an edge of the calendar, which no training sees.
        return None


def _schema() -> str | None:
    # SQLAlchemy removes the schema in CREATE, but not in ALTER.
    return None if op.get_bind().dialect.name == "sqlite" else "registry"
