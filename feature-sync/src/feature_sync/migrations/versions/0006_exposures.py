"""What answers have shown: one row an answer; on PostgreSQL in monthly partitions, which the worker makes."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"

    def list_of(kind: Any) -> Any:
        return sa.JSON() if is_sqlite else ARRAY(kind)

    op.create_table(
        "exposures",
        sa.Column("exposure_id", sa.String(length=64), nullable=False),
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("user_id", sa.BigInteger()),
        sa.Column("endpoint", sa.String(length=32)),
        sa.Column("model_version", sa.String(length=64)),
        sa.Column("model_variant", sa.String(length=16)),
        sa.Column("experiment_variant", sa.String(length=64)),
        sa.Column("fallback_level", sa.SmallInteger()),
        sa.Column("dataset_ids", list_of(sa.BigInteger()), nullable=False),
        sa.Column("scores", list_of(sa.REAL()), nullable=False),
        sa.Column("channels", list_of(sa.Text()), nullable=False),
        sa.Column("propensity", list_of(sa.REAL())),
        sa.PrimaryKeyConstraint("exposure_id", "ts"),
        schema="events",
        postgresql_partition_by="RANGE (ts)",
    )
    op.create_index("exposures_user", "exposures", ["user_id", "ts"], schema="events")
    if not is_sqlite:
        op.execute("CREATE TABLE events.exposures_default PARTITION OF events.exposures DEFAULT")


def downgrade() -> None:
    op.drop_table("exposures", schema="events")
