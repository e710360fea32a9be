"""Reads and writes of the tables `webhooks` and `webhook_deliveries`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from model_registry.tables import webhook_deliveries, webhooks


def add(connection: Connection, values: Mapping[str, Any]) -> Row[Any]:
    """Insert a webhook and return it."""
    added = connection.execute(insert(webhooks).values(failures=0, **values))
    key = added.inserted_primary_key
    return connection.execute(select(webhooks).where(webhooks.c.id == key[0])).one()  # type: ignore[index]


def all_of(connection: Connection) -> Sequence[Row[Any]]:
    """Return all webhooks, in the order of their numbers."""
    return connection.execute(select(webhooks).order_by(webhooks.c.id)).all()


def get(connection: Connection, webhook: int) -> Row[Any] | None:
    """Return a webhook, None if it was removed."""
    return connection.execute(select(webhooks).where(webhooks.c.id == webhook)).first()


def remove(connection: Connection, webhook: int) -> bool:
    """Remove a webhook with what waits for it; return whether there was one."""
    connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.webhook == webhook))
    return connection.execute(delete(webhooks).where(webhooks.c.id == webhook)).rowcount > 0


def add_delivery(connection: Connection, webhook: int, body: str, now: datetime) -> None:
    """Insert what is to be delivered."""
    connection.execute(insert(webhook_deliveries).values(webhook=webhook, body=body, created_at=now))


def count_waiting(connection: Connection) -> dict[int, int]:
    """Return how many deliveries wait, by webhook."""
    found = select(webhook_deliveries.c.webhook, func.count()).group_by(webhook_deliveries.c.webhook)
    return {row[0]: row[1] for row in connection.execute(found)}


def due(connection: Connection, now: datetime) -> Sequence[int]:
    """Return the webhooks for which something waits, and that nobody sends to and no failure delays."""
    waits = select(webhook_deliveries.c.id).where(webhook_deliveries.c.webhook == webhooks.c.id).exists()
    return connection.execute(select(webhooks.c.id).where(waits, *_is_free(now))).scalars().all()


def claim(connection: Connection, webhook: int, now: datetime, until: datetime) -> bool:
    """Let no other process send to a webhook until then; return whether it was free."""
    free = update(webhooks).where(webhooks.c.id == webhook, *_is_free(now))
    return connection.execute(free.values(claimed_until=until)).rowcount > 0


def first_waiting(connection: Connection, webhook: int) -> Row[Any] | None:
    """Return the oldest delivery that waits for a webhook, with that one's address and secret."""
    found = (
        select(webhook_deliveries, webhooks.c.url, webhooks.c.secret, webhooks.c.failures)
        .join(webhooks, webhooks.c.id == webhook_deliveries.c.webhook)
        .where(webhook_deliveries.c.webhook == webhook)
    )
    return connection.execute(found.order_by(webhook_deliveries.c.id).limit(1)).first()


def remove_delivery(connection: Connection, delivery: int) -> None:
    """Remove a delivery that has arrived, or that came too late."""
    connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.id == delivery))


def note(connection: Connection, webhook: int, **values: Any) -> None:
    """Note how a try has ended."""
    connection.execute(update(webhooks).where(webhooks.c.id == webhook).values(**values))


def _is_free(now: datetime) -> tuple[Any, Any]:
    return (
        or_(webhooks.c.claimed_until.is_(None), webhooks.c.claimed_until < now),
        or_(webhooks.c.retry_at.is_(None), webhooks.c.retry_at <= now),
    )
