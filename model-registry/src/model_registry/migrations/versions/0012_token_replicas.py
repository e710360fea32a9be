"""The replicas as which a named token may report."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    # The first revision creates the tables in their current form.
    columns = sa.inspect(op.get_bind()).get_columns("tokens", schema=_schema())
    if "replicas" not in {column["name"] for column in columns}:
        op.add_column("tokens", sa.Column("replicas", sa.JSON(none_as_null=True)), schema=_schema())


def downgrade() -> None:
    op.drop_column("tokens", "replicas", schema=_schema())


def _schema() -> str | None:
    # SQLAlchemy removes the schema in CREATE, but not in ALTER.
    return None if op.get_bind().dialect.name == "sqlite" else "registry"
