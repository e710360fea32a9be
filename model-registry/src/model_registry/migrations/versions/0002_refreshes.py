"""The trained version that a refresh renews."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    if not _is_there():
        op.add_column("versions", sa.Column("refreshes", sa.Integer), schema=_schema())


def downgrade() -> None:
    op.drop_column("versions", "refreshes", schema=_schema())


def _is_there() -> bool:
    # The first revision creates the table in its current form.
    columns = sa.inspect(op.get_bind()).get_columns("versions", schema=_schema())
    return "refreshes" in {column["name"] for column in columns}


def _schema() -> str | None:
    # SQLAlchemy removes the schema in CREATE, but not in ALTER.
    return None if op.get_bind().dialect.name == "sqlite" else "registry"
