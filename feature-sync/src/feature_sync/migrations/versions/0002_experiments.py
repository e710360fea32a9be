"""The arm of an experiment that an exposure belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("behavior_events", sa.Column("experiment_variant", sa.String(length=64)), schema=_schema())


def downgrade() -> None:
    op.drop_column("behavior_events", "experiment_variant", schema=_schema())


def _schema() -> str | None:
    # SQLAlchemy removes the schema in CREATE, but not in ALTER.
    return None if op.get_bind().dialect.name == "sqlite" else "events"
