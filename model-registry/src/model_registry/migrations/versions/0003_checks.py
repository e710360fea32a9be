"""What the checks of a bundle have found."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # The first revision creates all tables of the release that runs it.
    if not sa.inspect(op.get_bind()).has_table("checks", schema=_schema()):
        op.create_table(
            "checks",
            sa.Column("sha256", sa.String(64), primary_key=True),
            sa.Column("code_version", sa.String(16), primary_key=True),
            sa.Column("manifest", sa.JSON, nullable=False),
            sa.Column("stage", sa.String(16)),
            sa.Column("detail", sa.Text),
            sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
            schema=_schema(),
        )


def downgrade() -> None:
    op.drop_table("checks", schema=_schema())


def _schema() -> str | None:
    return None if op.get_bind().dialect.name == "sqlite" else "registry"
