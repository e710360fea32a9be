"""The columns that extraction returns, from any SQL."""

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
# The required columns of a mapping; the others may be missing.
REQUIRED = {
    "users": ("id",),
    "datasets": ("id", "title"),
    "interactions": ("user_id", "dataset_id", "type", "ts"),
}
SCHEMAS = {"users": USERS, "datasets": DATASETS, "interactions": INTERACTIONS}
# The kind of id in each column.
ID_KINDS = {
    ("users", "id"): "user",
    ("datasets", "id"): "dataset",
    ("interactions", "user_id"): "user",
    ("interactions", "dataset_id"): "dataset",
}
