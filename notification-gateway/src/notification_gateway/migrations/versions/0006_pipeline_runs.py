"""The end of the last successful run of the pipeline, per environment.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "pipeline_runs",
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("good_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("environment"),
        schema="gateway",
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("pipeline_runs", schema="gateway")
