"""Reads and writes of the table `tokens`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, update

from model_registry.tables import tokens


def valid(connection: Connection, now: datetime) -> Sequence[Row[Any]]:
    """Return the secrets that are neither revoked nor expired, the oldest first."""
    return connection.execute(select(tokens).where(_is_valid(now)).order_by(tokens.c.id)).all()


def valid_of(connection: Connection, name: str, now: datetime) -> Sequence[Row[Any]]:
    """Return the valid secrets of a name, the newest first."""
    found = select(tokens).where(tokens.c.name == name, _is_valid(now)).order_by(tokens.c.id.desc())
    return connection.execute(found).all()


def all_of(connection: Connection) -> Sequence[Row[Any]]:
    """Return all secrets, the newest first."""
    return connection.execute(select(tokens).order_by(tokens.c.id.desc())).all()


def count_valid(connection: Connection, now: datetime) -> int:
    """Return how many secrets are valid."""
    return int(connection.execute(select(func.count()).select_from(tokens).where(_is_valid(now))).scalar_one())


def add(connection: Connection, **values: Any) -> Row[Any]:
    """Insert a secret's digest and return its row."""
    return connection.execute(insert(tokens).values(**values).returning(tokens)).one()


def expire(connection: Connection, ids: Sequence[int], at: datetime) -> None:
    """Let secrets expire at a moment, unless they expire sooner."""
    sooner = or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > at)
    connection.execute(update(tokens).where(tokens.c.id.in_(ids), sooner).values(expires_at=at))


def revoke(connection: Connection, ids: Sequence[int], at: datetime) -> None:
    """Revoke secrets."""
    connection.execute(update(tokens).where(tokens.c.id.in_(ids)).values(revoked_at=at))


def _is_valid(now: datetime) -> ColumnElement[bool]:
    return tokens.c.revoked_at.is_(None) & or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now)
