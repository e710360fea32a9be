"""The evaluation part of a version."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"



def upgrade() -> None:
    # The first revision creates the table in its current form.
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("versions", schema=_schema())}
    if "evaluation" not in there:
        op.add_column("versions", sa.Column("evaluation_sha256", sa.String(64)), schema=_schema())
        op.add_column("versions", sa.Column("evaluation", sa.JSON), schema=_schema())


def downgrade() -> None:
    for name in ("evaluation_sha256", "evaluation"):
        op.drop_column("versions", name, schema=_schema())


def _schema() -> str | None:
    # SQLAlchemy removes the schema in CREATE, but not in ALTER.
    return None if op.get_bind().dialect.name == "sqlite" else "registry"
