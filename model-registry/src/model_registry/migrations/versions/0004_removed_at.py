"""When retention removed the bundle of a version."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    if not _is_there():
        op.add_column("versions", sa.Column("removed_at", sa.DateTime(timezone=True)), schema=_schema())


def downgrade() -> None:
    op.drop_column("versions", "removed_at", schema=_schema())


def _is_there() -> bool:
    # The first revision creates the table in its current form.
    columns = sa.inspect(op.get_bind()).get_columns("versions", schema=_schema())
    return "removed_at" in {column["name"] for column in columns}


def _schema() -> str | None:
    return None if op.get_bind().dialect.name == "sqlite" else "registry"
