"""The replicas as which a named token may report, and an index of tags that serves the search alone."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_INDEX = "version_tags_by_value"
_COLUMNS = ["key", "model", "value", "version"]
_EARLIER_COLUMNS = ["model", "key", "value", "version"]


def upgrade() -> None:
    # The first revision creates the tables in their current form.
    inspector = sa.inspect(op.get_bind())
    if "replicas" not in {column["name"] for column in inspector.get_columns("tokens", schema=_schema())}:
        op.add_column("tokens", sa.Column("replicas", sa.JSON(none_as_null=True)), schema=_schema())
    indexes = {index["name"]: index for index in inspector.get_indexes("version_tags", schema=_schema())}
    if indexes[_INDEX]["column_names"] != _COLUMNS:
        _replace_index(_COLUMNS)


def downgrade() -> None:
    op.drop_column("tokens", "replicas", schema=_schema())
    _replace_index(_EARLIER_COLUMNS)


def _replace_index(columns: list[str]) -> None:
    op.drop_index(_INDEX, "version_tags", schema=_schema())
    op.create_index(_INDEX, "version_tags", columns, schema=_schema())


def _schema() -> str | None:
    # SQLAlchemy removes the schema in CREATE, but not in ALTER.
    return None if op.get_bind().dialect.name == "sqlite" else "registry"
