"""The marks of forgotten users, and an index that finds the events of a user."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "forgotten_users",
        sa.Column("user_hmac", sa.String(length=64), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False, unique=True),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unfinished_user_id", sa.BigInteger()),
        sa.Column("removed_at", sa.DateTime(timezone=True)),
        schema="events",
    )
    op.create_index("forgotten_users_unfinished", "forgotten_users", ["unfinished_user_id"], schema="events")
    op.create_index("behavior_events_user", "behavior_events", ["user_id", "ts"], schema="events")


def downgrade() -> None:
    op.drop_index("behavior_events_user", "behavior_events", schema="events")
    op.drop_table("forgotten_users", schema="events")
