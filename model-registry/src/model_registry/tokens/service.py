"""Creates, rotates and revokes named tokens, and keeps the registry's own list of them up to date."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Row
from starlette.concurrency import run_in_threadpool

from contracts.access_tokens import NewToken, TokenDigest, TokenRotation
from model_registry.database import Database, lock_tokens
from model_registry.errors import NotFoundError, TokenConflictError
from model_registry.tokens import queries
from servicekit.tokens import KnownToken, Tokens, digest_of

# Another registry on the same database knows a change after this time.
INTERVAL_SECONDS = 2.0
# Each request compares all of them.
MAX_VALID = 500
_SECRET_BYTES = 32


class NamedTokens:
    """The named tokens; `tokens` recognizes them after each change."""

    def __init__(
        self, database: Database, tokens: Tokens, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._clock = clock
        self._loading = Lock()

    def create(self, wanted: NewToken, by: str) -> tuple[Row[Any], str]:
        """Return a new token's row and its secret; raises `TokenConflictError`."""
        now = self._clock()
        with self._database.transaction("create_token") as connection:
            lock_tokens(connection)
            if queries.valid_of(connection, wanted.name, now):
                raise TokenConflictError(f"there is a token {wanted.name}: rotate it, revoke it or take another name")
            lifetime = _lifetime(wanted.days)
            limits = {"role": wanted.role, "models": wanted.models, "replicas": wanted.replicas}
            made = _add(connection, now, lifetime, name=wanted.name, by=by, **limits)
        self.load()
        return made

    def rotate(self, name: str, wanted: TokenRotation, by: str) -> tuple[Row[Any], str]:
        """Return a row with a new secret; the earlier ones expire after the overlap. Raises `NotFoundError`.

        Unless `days` is given, it lasts as long as the earlier one did in all.
        """
        now = self._clock()
        with self._database.transaction("rotate_token") as connection:
            lock_tokens(connection)
            earlier = _valid_of(connection, name, now)
            newest = earlier[0]
            until = now + timedelta(hours=wanted.overlap_hours)
            queries.expire(connection, [row.id for row in earlier], until)
            lifetime = _lifetime(wanted.days)
            if lifetime is None and newest.expires_at is not None:
                lifetime = newest.expires_at - newest.created_at
            limits = {"role": newest.role, "models": newest.models, "replicas": newest.replicas}
            made = _add(connection, now, lifetime, name=name, by=by, **limits)
        self.load()
        return made

    def revoke(self, name: str) -> None:
        """Revoke all secrets of a name; raises `NotFoundError`."""
        now = self._clock()
        with self._database.transaction("revoke_token") as connection:
            lock_tokens(connection)
            queries.revoke(connection, [row.id for row in _valid_of(connection, name, now)], now)
        self.load()

    def all_of(self) -> Sequence[Row[Any]]:
        """Return all secrets' rows, the newest first."""
        with self._database.transaction("list_tokens") as connection:
            return queries.all_of(connection)

    def digests(self) -> list[TokenDigest]:
        """Return what other services recognize the valid tokens by."""
        with self._database.transaction("list_tokens") as connection:
            return [TokenDigest.model_validate(row, from_attributes=True) for row in self._valid(connection)]

    def load(self) -> None:
        """Let the registry recognize the tokens that are valid now."""
        # Without the lock, a list that was read before a revocation could take the place of one read after it.
        with self._loading:
            self._tokens.replace_named(KnownToken.of_digest(each) for each in self.digests())

    async def step(self) -> None:
        """Load once; while the database fails, the last list is used."""
        await run_in_threadpool(self.load)

    def _valid(self, connection: Connection) -> Sequence[Row[Any]]:
        return queries.valid(connection, self._clock())


def _valid_of(connection: Connection, name: str, now: datetime) -> Sequence[Row[Any]]:
    found = queries.valid_of(connection, name, now)
    if not found:
        raise NotFoundError(f"there is no valid token {name!r}")
    return found


def _lifetime(days: int | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


def _add(
    connection: Connection, now: datetime, lifetime: timedelta | None, *, by: str, **values: Any
) -> tuple[Row[Any], str]:
    if queries.count_valid(connection, now) >= MAX_VALID:
        raise TokenConflictError(f"there are {MAX_VALID} valid tokens: revoke those that nobody uses")
    secret = token_hex(_SECRET_BYTES)
    expires_at = None if lifetime is None else now + lifetime
    sha256 = digest_of(secret.encode()).hex()
    row = queries.add(connection, **values, sha256=sha256, created_at=now, created_by=by, expires_at=expires_at)
    return row, secret
