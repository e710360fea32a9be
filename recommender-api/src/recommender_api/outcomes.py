"""Outcomes of requests: counted by endpoint, status and reason, and watched for a complete outage."""

from http import HTTPStatus

import monitoring
from recommender_api.availability import AvailabilityWatch
from recommender_api.metrics import EVENTS, JOURNAL_FULL, NO_MODEL, UNHANDLED, Metrics


class Outcomes:
    """Counts the answers that `Metrics.answered` doesn't count: those to events, and those without recommendations."""

    def __init__(self, metrics: Metrics, availability: AvailabilityWatch | None = None) -> None:
        self._metrics = metrics
        self._availability = availability

    def count(self, endpoint: str, status: int) -> None:
        """Count an answer of the application."""
        if status == HTTPStatus.OK and endpoint != EVENTS:
            return  # `Metrics.answered` counts it, with its level and reason
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self._count_failure(endpoint, status, JOURNAL_FULL if endpoint == EVENTS else NO_MODEL)
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._count_failure(endpoint, status, UNHANDLED)
        else:
            self._metrics.count_response(endpoint, status)

    def _count_failure(self, endpoint: str, status: int, reason: str) -> None:
        self._metrics.count_response(endpoint, status, reason)
        monitoring.note_outcome(reason=reason)
        if self._availability is None:
            return
        if reason == NO_MODEL:
            self._availability.refuse(endpoint)
        else:
            self._availability.count_failure(endpoint, reason)
