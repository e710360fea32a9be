"""The index of degraded and failed requests.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "requests",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("service", sa.String(length=64), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("endpoint", sa.String(length=128), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("model_version", sa.String(length=64), nullable=True),
        sa.Column("duration_ms", sa.Float(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=True),
        sa.Column("points", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="gateway",
    )
    op.create_index("uq_requests", "requests", ["request_id", "at", "service"], unique=True, schema="gateway")
    op.create_index("ix_requests_at", "requests", ["at"], schema="gateway")
    op.create_table(
        "requests_left_out",
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("service", sa.String(length=64), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "service"),
        schema="gateway",
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("requests_left_out", schema="gateway")
    op.drop_table("requests", schema="gateway")
