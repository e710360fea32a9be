"""The life of a version: an index for pages of the deployments."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"


def upgrade() -> None:
    # The first revision creates the tables in their current form.
    inspector = sa.inspect(op.get_bind())
    indexes = {index["name"] for index in inspector.get_indexes("deployments", schema=_schema())}
    if "deployments_newest" not in indexes:
        op.create_index("deployments_newest", "deployments", ["model", "id"], schema=_schema())


def downgrade() -> None:
    op.drop_index("deployments_newest", "deployments", schema=_schema())


def _schema() -> str | None:
    # SQLAlchemy removes the schema in CREATE, but not in ALTER.
    return None if op.get_bind().dialect.name == "sqlite" else "registry"
