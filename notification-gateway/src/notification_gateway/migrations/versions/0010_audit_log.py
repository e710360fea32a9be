"""The audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=200), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("by", sa.String(length=200)),
        sa.Column("reason", sa.Text()),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        schema="gateway",
    )


def downgrade() -> None:
    op.drop_table("audit_log", schema="gateway")
