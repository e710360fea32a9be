"""The columns that extraction delivers, whatever SQL they come from."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime

import pyarrow as pa

from pipeline.business import content

_ID = pa.field("id", pa.int64())
USERS = pa.schema([_ID, *content.USERS])
DATASETS = pa.schema([_ID, *content.DATASETS])
INTERACTIONS = pa.schema(
    [
        ("user_id", pa.int64()),
        ("dataset_id", pa.int64()),
        ("type", pa.string()),
        ("price", pa.float64()),
        ("ts", content.TIME),
    ]
)
# What a mapping must deliver; the other columns are empty without it.
REQUIRED = {
    "users": ("id",),
    "datasets": ("id", "title"),
    "interactions": ("user_id", "dataset_id", "type", "ts"),
}
SCHEMAS = {"users": USERS, "datasets": DATASETS, "interactions": INTERACTIONS}


def to_arrow(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    """Return database values as an Arrow column; raises `ValueError` or `pyarrow.ArrowException`."""
    if pa.types.is_timestamp(kind):
        return pa.array([_moment(value) for value in values], kind)
    if pa.types.is_string(kind):
        return pa.array([None if value is None else str(value) for value in values], kind)
    if pa.types.is_floating(kind):
        return pa.array([None if value is None else float(str(value)) for value in values], kind)
    if pa.types.is_boolean(kind):
        return pa.array([bool(value) for value in values], kind)
    return pa.array([None if value is None else int(str(value)) for value in values], kind)


def _moment(value: object) -> datetime | None:
    """Read what databases give for a time; without a zone it is UTC, a number is Unix seconds."""
    if value is None:
        return None
    if isinstance(value, int | float) and math.isfinite(value):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
