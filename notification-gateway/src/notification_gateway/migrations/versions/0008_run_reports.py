"""The reports of the last runs of the pipeline.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "run_reports",
        sa.Column("run", sa.String(length=128), nullable=False),
        sa.Column("run_id", sa.String(length=256), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("page", sa.LargeBinary(), nullable=False),
        sa.Column("checks", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("run"),
        schema="gateway",
    )
    op.create_index("ix_run_reports_run_id", "run_reports", ["run_id"], schema="gateway")


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("run_reports", schema="gateway")
