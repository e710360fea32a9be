"""The timeline of incidents and of the stack; episodes, assignees, and incidents under others.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _schema() -> str | None:
    # SQLAlchemy translates the schema away in CREATE, but not in ALTER.
    return None if op.get_bind().dialect.name == "sqlite" else "gateway"


def upgrade() -> None:
    """Add the columns and tables."""
    for column in (
        sa.Column(
            "last_notified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when somebody was told last, at once or in a summary",
        ),
        sa.Column(
            "episode", sa.String(length=256), nullable=False, server_default="", comment="the run, deployment or start"
        ),
        sa.Column("assignee", sa.String(length=128), nullable=True),
        sa.Column("parent_id", _ID, nullable=True, comment="the incident that explains this one"),
        sa.Column(
            "grouped_by",
            sa.String(length=128),
            nullable=True,
            comment="who put it under its parent; null: the catalogue",
        ),
        sa.Column("closed_by", sa.String(length=128), nullable=True),
    ):
        op.add_column("incidents", column, schema=_schema())
    op.create_index("ix_incidents_parent", "incidents", ["parent_id"], unique=False, schema=_schema())
    table = "incidents" if _schema() is None else "gateway.incidents"
    op.execute(f"UPDATE {table} SET last_notified_at = told_at")  # noqa: S608 - a name of ours
    op.create_table(
        "incident_changes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("incident_id", _ID, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="opened, acknowledged, resolved …"),
        sa.Column("actor", sa.String(length=128), nullable=False, comment="who did it; empty: the gateway"),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["gateway.incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        schema="gateway",
    )
    op.create_index(
        "ix_incident_changes_incident", "incident_changes", ["incident_id"], unique=False, schema="gateway"
    )
    op.create_table(
        "stack_changes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="deployment, run or policy"),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=256), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="gateway",
    )
    op.create_index("ix_stack_changes_at", "stack_changes", ["at"], unique=False, schema="gateway")


def downgrade() -> None:
    """Drop the tables and columns."""
    op.drop_table("stack_changes", schema="gateway")
    op.drop_table("incident_changes", schema="gateway")
    op.drop_index("ix_incidents_parent", table_name="incidents", schema=_schema())
    for name in ("closed_by", "grouped_by", "parent_id", "assignee", "episode", "last_notified_at"):
        op.drop_column("incidents", name, schema=_schema())
