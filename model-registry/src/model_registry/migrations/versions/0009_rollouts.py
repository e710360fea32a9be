"""Progressive rollouts, and what replicas report of their answers."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # The first revision creates all tables of the release that runs it.
    inspected = sa.inspect(op.get_bind())
    if "traffic" not in {column["name"] for column in inspected.get_columns("replicas", schema=_schema())}:
        op.add_column("replicas", sa.Column("traffic", sa.JSON(none_as_null=True)), schema=_schema())
    if inspected.has_table("rollouts", schema=_schema()):
        return
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("primary_version", sa.Integer, nullable=False),
        sa.Column("primary_trained", sa.Integer, nullable=False),
        sa.Column("steps", sa.JSON, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("every_seconds", sa.Float, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("started_by", sa.String(200)),
        sa.Column("answered_by", sa.String(200)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("step_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True)),
        sa.Column("reviewed_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("rollback_reported_at", sa.DateTime(timezone=True)),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True)),
        schema=_schema(),
    )
    op.create_index("rollouts_of_model", "rollouts", ["model", "state"], schema=_schema())


def downgrade() -> None:
    op.drop_table("rollouts", schema=_schema())
    op.drop_column("replicas", "traffic", schema=_schema())


def _schema() -> str | None:
    return None if op.get_bind().dialect.name == "sqlite" else "registry"
