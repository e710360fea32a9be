"""Reads and writes of the table `rollouts`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from model_registry.errors import NotFoundError, OvertakenError
from model_registry.tables import rollouts

HISTORY = 20
OPEN = ("running", "holding")
_MOVED = "the rollout has changed meanwhile; look at it again"


def claim(connection: Connection, now: datetime, period: timedelta) -> Sequence[int]:
    """Claim the open rollouts that no other registry drives, for a period; return their ids. It is the first statement.

    Whoever claims at the same time passes over the rows that are locked. SQLite has no locks of rows: an update makes
    the transaction a writer, of which there is one.
    """
    if connection.dialect.name == "sqlite":
        connection.execute(update(rollouts).where(rollouts.c.id.is_(None)).values(claimed_until=None))
    free = or_(rollouts.c.claimed_until.is_(None), rollouts.c.claimed_until <= now)
    found = select(rollouts.c.id).where(rollouts.c.state.in_(OPEN), free).order_by(rollouts.c.id)
    ids = connection.execute(found.with_for_update(skip_locked=True)).scalars().all()
    connection.execute(update(rollouts).where(rollouts.c.id.in_(ids)).values(claimed_until=now + period))
    return ids


def release(connection: Connection, rollout_id: int) -> None:
    """Give up the claim of a rollout."""
    connection.execute(update(rollouts).where(rollouts.c.id == rollout_id).values(claimed_until=None))


def record(connection: Connection, **values: Any) -> None:
    """Insert a rollout."""
    connection.execute(insert(rollouts).values(**values))


def change(connection: Connection, seen: Row[Any], **values: Any) -> None:
    """Change a rollout that is as it was `seen`; raises `OvertakenError` if it has moved, or a person has answered."""
    unchanged = (
        (rollouts.c.id == seen.id)
        & (rollouts.c.step == seen.step)
        & (rollouts.c.state == seen.state)
        & rollouts.c.asked_at.is_not_distinct_from(seen.asked_at)
    )
    if connection.execute(update(rollouts).where(unchanged).values(**values)).rowcount != 1:
        raise OvertakenError(_MOVED)


def get(connection: Connection, rollout_id: int) -> Row[Any]:
    """Return an existing rollout."""
    return connection.execute(select(rollouts).where(rollouts.c.id == rollout_id)).one()


def get_of_model(connection: Connection, model: str, rollout_id: str) -> Row[Any]:
    """Return a rollout of a model; raises `NotFoundError`."""
    number = int(rollout_id)
    found = connection.execute(select(rollouts).where(rollouts.c.model == model, rollouts.c.id == number)).first()
    if found is None:
        raise NotFoundError(f"{model!r} has no rollout {rollout_id}")
    return found


def find_open(connection: Connection, model: str) -> Row[Any] | None:
    """Return the rollout of a model that has not ended."""
    return connection.execute(select(rollouts).where(rollouts.c.model == model, rollouts.c.state.in_(OPEN))).first()


def unreported_rollbacks(connection: Connection) -> Sequence[Row[Any]]:
    """Return the rollouts that were rolled back without a report of it, oldest first."""
    unreported = (rollouts.c.state == "rolled_back") & rollouts.c.rollback_reported_at.is_(None)
    return connection.execute(select(rollouts).where(unreported).order_by(rollouts.c.id)).all()


def note_rollback_report(connection: Connection, rollout_id: int, now: datetime) -> None:
    """Note that a rollback was reported."""
    connection.execute(update(rollouts).where(rollouts.c.id == rollout_id).values(rollback_reported_at=now))


def history(connection: Connection, model: str) -> Sequence[Row[Any]]:
    """Return the latest rollouts of a model, newest first."""
    found = select(rollouts).where(rollouts.c.model == model).order_by(rollouts.c.id.desc()).limit(HISTORY)
    return connection.execute(found).all()
