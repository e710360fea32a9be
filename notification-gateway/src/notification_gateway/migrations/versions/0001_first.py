"""Signals, incidents, notifications, summaries and silences.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "digests",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("alert", sa.String(length=16), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("notice", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="gateway",
    )
    op.create_index("uq_digests_period", "digests", ["alert", "channel", "period_start"], unique=True, schema="gateway")
    op.create_table(
        "incidents",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False, comment="hash of environment, service and fingerprint"),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("service", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.JSON(), nullable=False),
        sa.Column("monitoring_point", sa.String(length=128), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("category", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("priority", sa.String(length=4), nullable=False),
        sa.Column("rule", sa.String(length=128), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False, comment="open or resolved"),
        sa.Column("resolution", sa.String(length=16), nullable=True, comment="recovered or quiet"),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_signal_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("occurrences", sa.BigInteger(), nullable=False),
        sa.Column("signals", sa.Integer(), nullable=False),
        sa.Column("request_ids", sa.JSON(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("event_id", sa.String(length=32), nullable=True),
        sa.Column("notified", sa.JSON(), nullable=False, comment="channels that were told at once"),
        sa.Column("silence_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="gateway",
    )
    op.create_index("ix_incidents_key", "incidents", ["key", "id"], unique=False, schema="gateway")
    op.create_index("ix_incidents_state", "incidents", ["state", "last_signal_at"], unique=False, schema="gateway")
    op.create_index(
        "uq_incidents_open",
        "incidents",
        ["key"],
        unique=True,
        schema="gateway",
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "occurrence_minutes",
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "subject", sa.String(length=64), nullable=False, comment="hash of service, level, category and fingerprint"
        ),
        sa.Column("service", sa.String(length=64), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("category", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.JSON(), nullable=False),
        sa.Column("occurrences", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("environment", "minute", "subject"),
        schema="gateway",
    )
    op.create_table(
        "silences",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("matcher", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="gateway",
    )
    op.create_index("ix_silences_ends_at", "silences", ["ends_at"], unique=False, schema="gateway")
    op.create_table(
        "notifications",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("dedupe_key", sa.String(length=200), nullable=False),
        sa.Column("incident_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="opened, resolved, summary or notify"),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("urgency", sa.Integer(), nullable=False, comment="0 goes first"),
        sa.Column("notice", sa.JSON(), nullable=False),
        sa.Column(
            "state", sa.String(length=16), nullable=False, comment="pending, sending, sent, failed or suppressed"
        ),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False, comment="what the other side said last"),
        sa.Column("latency_seconds", sa.Float(), nullable=True, comment="from creation to delivery"),
        sa.ForeignKeyConstraint(["incident_id"], ["gateway.incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dedupe_key"),
        schema="gateway",
    )
    op.create_index(
        "ix_notifications_due", "notifications", ["channel", "state", "next_attempt_at"], unique=False, schema="gateway"
    )
    op.create_index("ix_notifications_incident", "notifications", ["incident_id"], unique=False, schema="gateway")
    op.create_table(
        "signals",
        sa.Column("signal_id", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("incident_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("priority", sa.String(length=4), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False, comment="the signal as it came"),
        sa.ForeignKeyConstraint(["incident_id"], ["gateway.incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("signal_id"),
        schema="gateway",
    )
    op.create_index("ix_signals_incident", "signals", ["incident_id"], unique=False, schema="gateway")
    op.create_index("ix_signals_received_at", "signals", ["received_at"], unique=False, schema="gateway")
    op.create_table(
        "summary_entries",
        sa.Column("alert", sa.String(length=16), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("incident_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("occurrences", sa.BigInteger(), nullable=False),
        sa.Column("signals", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["gateway.incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("alert", "channel", "period_start", "incident_id"),
        schema="gateway",
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in (
        "summary_entries",
        "signals",
        "notifications",
        "silences",
        "occurrence_minutes",
        "incidents",
        "digests",
    ):
        op.drop_table(table, schema="gateway")
