"""The content of a request's page."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from notification_gateway.request_index.queries import (
    INDEX_RETENTION,
    find_requests,
    incidents_of,
    left_out_since,
)


def gather_request(connection: Connection, request_id: str, now: datetime) -> dict[str, Any]:
    """Return the variables of the template."""
    return {
        "request_id": request_id,
        "found": [
            {
                "record": record,
                "incidents": incidents_of(connection, record),
                "line": json.dumps(record.model_dump(mode="json", exclude_none=True)),
            }
            for record in find_requests(connection, request_id)
        ],
        "left_out": left_out_since(connection, now - INDEX_RETENTION),
        "days": INDEX_RETENTION.days,
    }
