"""The datasets that no answer may show."""

from alembic import op

from feature_sync.withdrawal.table import metadata

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    metadata.drop_all(op.get_bind())
