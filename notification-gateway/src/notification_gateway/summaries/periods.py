"""The periods of summaries: full hours, and days that end at a local hour."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from notification_gateway.policy.model import Alert

Kind = Literal["hourly_summary", "daily_digest"]
HOUR = timedelta(hours=1)
# Returns the start of a summary's period that contains a time.
PeriodStart = Callable[[Alert, datetime], datetime]


class Periods:
    """Days begin at `hour` o'clock in `zone`; a day on which the clocks change has 23 or 25 hours."""

    def __init__(self, zone: ZoneInfo, hour: int) -> None:
        self._zone = zone
        self._hour = hour

    def start(self, alert: Alert, at: datetime) -> datetime:
        """Return the start of the period that contains `at`, in UTC."""
        if alert == "hourly_summary":
            return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        local = at.astimezone(self._zone)
        boundary = self._boundary(local)
        if boundary > at:
            boundary = self._boundary(local - timedelta(days=1))
        return boundary

    def end(self, alert: Alert, start: datetime) -> datetime:
        """Return the end of the period that begins at `start`, in UTC."""
        if alert == "hourly_summary":
            return start + HOUR
        return self._boundary(start.astimezone(self._zone) + timedelta(days=1))

    def _boundary(self, local: datetime) -> datetime:
        return datetime(local.year, local.month, local.day, self._hour, tzinfo=self._zone).astimezone(UTC)
