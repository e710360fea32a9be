"""Named tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # The first revision creates all tables of the release that runs it.
    if sa.inspect(op.get_bind()).has_table("tokens", schema=_schema()):
        return
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("models", sa.JSON(none_as_null=True)),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        schema=_schema(),
    )
    op.create_index("ix_registry_tokens_name", "tokens", ["name"], schema=_schema())


def downgrade() -> None:
    op.drop_table("tokens", schema=_schema())


def _schema() -> str | None:
    return None if op.get_bind().dialect.name == "sqlite" else "registry"
