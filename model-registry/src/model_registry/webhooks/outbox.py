"""What happens is written down for each webhook in the transaction that does it, so that none is lost or made up."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection

from contracts.webhooks import WebhookDelivery, WebhookEvent
from model_registry.metrics import Metrics
from model_registry.webhooks import queries

# A receiver that is down for a day misses fewer than this; each takes about 500 bytes.
MAX_WAITING = 10_000


class Outbox:
    """Takes events. Past `max_waiting` deliveries of one webhook, further ones are counted and left out."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        max_waiting: int = MAX_WAITING,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._metrics = metrics
        self._max_waiting = max_waiting
        self._clock = clock

    def record(self, connection: Connection, event: WebhookEvent, model: str, **data: Any) -> None:
        """Add a delivery for each webhook that wants the event, in the caller's transaction."""
        wanting = [row.id for row in queries.all_of(connection) if event in row.events]
        if not wanting:
            return
        waiting, now = queries.count_waiting(connection), self._clock()
        for webhook in wanting:
            if waiting.get(webhook, 0) >= self._max_waiting:
                self._metrics.webhook_deliveries.labels("dropped").inc()
                continue
            delivery = WebhookDelivery(delivery_id=str(uuid4()), event=event, model=model, at=now, data=data)
            queries.add_delivery(connection, webhook, delivery.model_dump_json(), now)
