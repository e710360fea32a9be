"""Marks of forgotten users: they tell events from before the user was forgotten from new ones."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import Connection


class MarksChangedError(RuntimeError):
    """A user was forgotten after the events were filtered: filter them by the current marks, and try again."""


@dataclass(frozen=True)
class Marks:
    """The moment (Unix time) before which all of a user is forgotten, by the HMAC of the user's id.

    `number` is that of the latest mark.
    """

    key: bytes = b""
    number: int = 0
    moments: Mapping[bytes, float] = field(default_factory=dict)

    def hash_user(self, user_id: int) -> bytes:
        """Return what stands for a user: without the key, nobody can compute it from a list of users."""
        return hmac.digest(self.key, b"forgotten-user:%d" % user_id, "sha256")

    def moment_of(self, user_id: int) -> float:
        """Return the moment (Unix time) at which a user was forgotten, 0 for other users."""
        return self.moments.get(self.hash_user(user_id), 0.0) if self.moments else 0.0

    def later_than(self, moment: float) -> "Marks":
        """Return the marks of the users who were forgotten after a Unix time."""
        return Marks(self.key, self.number, {user: at for user, at in self.moments.items() if at > moment})


class MarkSource(Protocol):
    """The marks, as the database has them."""

    @property
    def current(self) -> Marks:
        """The marks in memory."""
        ...

    def verify(self, connection: Connection, marks: Marks) -> None:
        """Raise `MarksChangedError` if `marks` are not the latest ones in a transaction; `current` has those then."""
        ...
