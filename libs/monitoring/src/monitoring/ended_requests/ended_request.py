"""What is remembered of a request after its answer."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from monitoring.context import Fired


class EndedRequest(NamedTuple):
    """A request: `at` in Unix seconds, `seconds` to the answer, and the monitoring points that it reported."""

    request_id: str
    at: float
    endpoint: str
    status: int
    level: int | None
    reason: str | None
    model_version: str | None
    seconds: float
    items: int | None
    fired: tuple[Fired, ...]

    def described(self) -> dict[str, Any]:
        """Return the fields of a log line and of `contracts.request_records`; those without a value are left out."""
        fields = {
            "request_id": self.request_id,
            "at": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds"),
            "endpoint": self.endpoint,
            "status": self.status,
            "level": self.level,
            "reason": self.reason,
            "model_version": self.model_version,
            "duration_ms": round(self.seconds * 1000, 3),
            "items": self.items,
            "points": [{"monitoring_point": point, "fingerprint": list(parts)} for point, parts in self.fired] or None,
        }
        return {name: value for name, value in fields.items() if value is not None}
