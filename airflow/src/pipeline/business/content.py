"""New contents for the business database, as sources return them: text ids, and rows that refer to positions."""

from dataclasses import dataclass

import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")

USERS = pa.schema(
    [
        ("external_id", pa.string()),
        ("company_name", pa.string()),
        ("province", pa.string()),
        ("city", pa.string()),
        ("created_at", TIME),
    ]
)
DATASETS = pa.schema(
    [
        ("external_id", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("tags", pa.string()),
        ("price", pa.float64()),
        ("provider", pa.string()),
        ("cover_image", pa.string()),
        ("created_at", TIME),
        ("updated_at", TIME),
        ("is_deleted", pa.bool_()),
    ]
)
INTERACTIONS = pa.schema(
    [
        ("user", pa.int64()),
        ("dataset", pa.int64()),
        ("type", pa.string()),
        ("price", pa.float64()),
        ("ts", TIME),
    ]
)


@dataclass(frozen=True)
class Content:
    """Three Arrow tables of the schemas above; `interactions.user` and `.dataset` are row numbers of the others."""

    users: pa.Table
    datasets: pa.Table
    interactions: pa.Table
