"""Signatures of Sentry's accepted hooks, so that none is accepted twice.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "hooks",
        sa.Column("signature", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("signature"),
        schema="gateway",
    )
    op.create_index("ix_hooks_received_at", "hooks", ["received_at"], unique=False, schema="gateway")


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("hooks", schema="gateway")
