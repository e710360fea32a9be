"""The log of behaviour events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "behavior_events",
        sa.Column("event_id", sa.String(length=64), primary_key=True),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("dataset_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=128)),
        sa.Column("position", sa.Integer()),
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        schema="events",
    )
    op.create_index("behavior_events_ts", "behavior_events", ["ts"], schema="events")


def downgrade() -> None:
    op.drop_table("behavior_events", schema="events")
