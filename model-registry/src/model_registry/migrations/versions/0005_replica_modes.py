"""What replicas report of each mode: the deployment and the error."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # The first revision creates the table in its current form.
    if "mode" not in _columns():
        _rebuild(
            sa.Column("mode", sa.String(16), primary_key=True, server_default="primary"),
            sa.Column("deployment_id", sa.String(32)),
            sa.Column("error", sa.Text),
        )


def downgrade() -> None:
    _rebuild()


def _rebuild(*more: sa.Column[str]) -> None:
    """Create the table anew with its reports of primaries: SQLite can't change a primary key."""
    mode = " WHERE mode = 'primary'" if "mode" in _columns() else ""
    kept = "model, replica_id, version, state, since, reported_at"
    op.rename_table("replicas", "replicas_before", schema=_schema())
    if op.get_bind().dialect.name != "sqlite":
        op.execute("ALTER INDEX registry.replicas_pkey RENAME TO replicas_before_pkey")
    op.create_table(
        "replicas",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("replica_id", sa.String(128), primary_key=True),
        sa.Column("version", sa.String(32)),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        *more,
        schema=_schema(),
    )
    prefix = "" if _schema() is None else "registry."
    op.execute(f"INSERT INTO {prefix}replicas ({kept}) SELECT {kept} FROM {prefix}replicas_before{mode}")  # noqa: S608 - names of ours
    op.drop_table("replicas_before", schema=_schema())


def _columns() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns("replicas", schema=_schema())}


def _schema() -> str | None:
    return None if op.get_bind().dialect.name == "sqlite" else "registry"
