"""What sampled answers were ranked with, and when each snapshot became active."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "served_features",
        sa.Column("served_id", sa.String(length=64), nullable=False),
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("endpoint", sa.String(length=32), nullable=False),
        sa.Column("dataset_id", sa.BigInteger()),
        sa.Column("max_items", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("bundle_sha256", sa.String(length=64), nullable=False),
        sa.Column("snapshot", sa.String(length=256)),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("served_id"),
        schema="events",
    )
    op.create_index("served_features_user", "served_features", ["user_id", "ts"], schema="events")
    op.create_index("served_features_ts", "served_features", ["ts"], schema="events")
    op.create_table(
        "snapshot_activations",
        sa.Column("version", sa.String(length=256), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version"),
        schema="events",
    )


def downgrade() -> None:
    for table in ("snapshot_activations", "served_features"):
        op.drop_table(table, schema="events")
