"""Summaries by the minute, with what was silenced; parts of a period; occurrences that missed a rate.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_PERIOD = ["alert", "channel", "period_start"]


def _schema() -> str | None:
    # SQLAlchemy translates the schema away in CREATE, but not in ALTER.
    return None if op.get_bind().dialect.name == "sqlite" else "gateway"


def _table(name: str) -> str:
    return f"{_schema()}.{name}" if _schema() else name


def upgrade() -> None:
    """Add the columns; counts of a running period move to the period's start."""
    op.create_table(
        "summary_entries_by_minute",
        sa.Column("alert", sa.String(length=16), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("incident_id", _ID, nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False, comment="when it was last seen"),
        sa.Column("occurrences", sa.BigInteger(), nullable=False),
        sa.Column(
            "silenced", sa.BigInteger(), server_default="0", nullable=False, comment="occurrences besides, silenced"
        ),
        sa.ForeignKeyConstraint(["incident_id"], ["gateway.incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint(*_PERIOD, "incident_id", "minute", name="pk_summary_entries"),
        schema="gateway",
    )
    op.execute(
        f"INSERT INTO {_table('summary_entries_by_minute')} "  # noqa: S608 - names of our own
        "(alert, channel, period_start, incident_id, minute, occurrences) "
        f"SELECT alert, channel, period_start, incident_id, period_start, occurrences FROM {_table('summary_entries')}"
    )
    op.drop_table("summary_entries", schema="gateway")
    op.rename_table("summary_entries_by_minute", "summary_entries", schema=_schema())
    op.create_table(
        "rate_misses",
        sa.Column("incident_id", _ID, nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False, comment="when it was last seen"),
        sa.Column("group_key", sa.String(length=64), nullable=False, comment="hash of conditions and routes"),
        sa.Column(
            "conditions", sa.JSON(), nullable=False, comment="hashes of the conditions whose rate was not exceeded"
        ),
        sa.Column("routes", sa.JSON(), nullable=False, comment="summaries that count it already"),
        sa.Column("occurrences", sa.BigInteger(), nullable=False),
        sa.Column("silenced", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["gateway.incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("incident_id", "minute", "group_key"),
        schema="gateway",
    )
    op.create_index("ix_rate_misses_minute", "rate_misses", ["minute"], unique=False, schema="gateway")
    for column in (
        sa.Column(
            "part",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="0, or how many of the period came before it",
        ),
        sa.Column(
            "since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the part before it ended; null: the period's start",
        ),
        sa.Column(
            "is_manual",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="sent before the period's end",
        ),
        sa.Column(
            "content", sa.JSON(), nullable=True, comment="counts and rows; null: made by a release before 0005"
        ),
        sa.Column(
            "notification_id", _ID, nullable=True, comment="the message that went out; null: none did"
        ),
    ):
        op.add_column("digests", column, schema=_schema())
    op.drop_index("uq_digests_period", table_name="digests", schema=_schema())
    op.create_index("uq_digests_part", "digests", [*_PERIOD, "part"], unique=True, schema=_schema())


def downgrade() -> None:
    """Drop the columns; of a period with several parts only the first stays."""
    op.execute(f"DELETE FROM {_table('digests')} WHERE part > 0")  # noqa: S608 - a name of our own
    op.drop_index("uq_digests_part", table_name="digests", schema=_schema())
    for name in ("notification_id", "content", "is_manual", "since", "part"):
        op.drop_column("digests", name, schema=_schema())
    op.create_index("uq_digests_period", "digests", _PERIOD, unique=True, schema=_schema())
    op.drop_table("rate_misses", schema="gateway")
    op.create_table(
        "summary_entries_by_incident",
        sa.Column("alert", sa.String(length=16), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("incident_id", _ID, nullable=False),
        sa.Column("occurrences", sa.BigInteger(), nullable=False),
        sa.Column("signals", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["gateway.incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint(*_PERIOD, "incident_id", name="summary_entries_pkey"),
        schema="gateway",
    )
    op.execute(
        f"INSERT INTO {_table('summary_entries_by_incident')} "  # noqa: S608 - names of our own
        "(alert, channel, period_start, incident_id, occurrences, signals) "
        "SELECT alert, channel, period_start, incident_id, SUM(occurrences), COUNT(*) "
        f"FROM {_table('summary_entries')} GROUP BY alert, channel, period_start, incident_id"
    )
    op.drop_table("summary_entries", schema="gateway")
    op.rename_table("summary_entries_by_incident", "summary_entries", schema=_schema())
