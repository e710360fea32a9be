"""Signatures of bundles: the last one that was pushed with a version, its key, and when."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    # The first revision creates the tables in their current form.
    inspector = sa.inspect(op.get_bind())
    if "signature" in {column["name"] for column in inspector.get_columns("versions", schema=_schema())}:
        return
    op.add_column("versions", sa.Column("signature", sa.String(88)), schema=_schema())
    op.add_column("versions", sa.Column("signature_key_id", sa.String(16)), schema=_schema())
    op.add_column("versions", sa.Column("signed_at", sa.DateTime(timezone=True)), schema=_schema())


def downgrade() -> None:
    for column in ("signed_at", "signature_key_id", "signature"):
        op.drop_column("versions", column, schema=_schema())


def _schema() -> str | None:
    # SQLAlchemy removes the schema in CREATE, but not in ALTER.
    return None if op.get_bind().dialect.name == "sqlite" else "registry"
