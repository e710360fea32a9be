"""Acknowledgements, escalation, and one message for a storm of incidents.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _schema() -> str | None:
    # SQLAlchemy translates the schema away in CREATE, but not in ALTER.
    return None if op.get_bind().dialect.name == "sqlite" else "gateway"


def upgrade() -> None:
    """Add the columns."""
    for column in (
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True, comment="when somebody was told at once"),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=128), nullable=True),
        sa.Column("escalated_at", sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column("incidents", column, schema=_schema())
    op.add_column(
        "notifications",
        sa.Column("group_id", _ID, nullable=True, comment="the notification that tells of this one too"),
        schema=_schema(),
    )
    op.create_index("ix_notifications_group", "notifications", ["group_id"], unique=False, schema=_schema())


def downgrade() -> None:
    """Drop the columns."""
    op.drop_index("ix_notifications_group", table_name="notifications", schema=_schema())
    op.drop_column("notifications", "group_id", schema=_schema())
    for name in ("escalated_at", "acknowledged_by", "acknowledged_at", "told_at"):
        op.drop_column("incidents", name, schema=_schema())
