"""The webhooks that are registered."""

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from sqlalchemy import Row

from contracts.webhooks import MAX_WEBHOOKS, NewWebhook
from model_registry.database import Database, lock_tokens
from model_registry.errors import NotFoundError, TooManyLabelsError, UnusableUrlError
from model_registry.webhooks import queries

_SECRET_BYTES = 32


class WaitingWebhook(NamedTuple):
    """A webhook, and how many deliveries wait for it."""

    row: Row[Any]
    waiting: int


class Webhooks:
    """All webhooks; `allows_http` lets them have an address without TLS."""

    def __init__(
        self,
        database: Database,
        *,
        allows_http: bool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._allows_http = allows_http
        self._clock = clock

    def add(self, wanted: NewWebhook, by: str) -> Row[Any]:
        """Register a webhook; raises `UnusableUrlError` and `TooManyLabelsError`."""
        self._check_url(wanted.url)
        values = {
            "url": wanted.url,
            "events": [str(event) for event in wanted.events],
            "secret": wanted.secret or secrets.token_urlsafe(_SECRET_BYTES),
            "created_at": self._clock(),
            "created_by": by,
        }
        with self._database.transaction("add_webhook") as connection:
            # Changes of the registry's own rows, one at a time.
            lock_tokens(connection)
            if len(queries.all_of(connection)) >= MAX_WEBHOOKS:
                raise TooManyLabelsError(f"there are {MAX_WEBHOOKS} webhooks; remove one first")
            return queries.add(connection, values)

    def all_of(self) -> Sequence[WaitingWebhook]:
        """Return all webhooks."""
        with self._database.transaction("list_webhooks") as connection:
            waiting = queries.count_waiting(connection)
            return [WaitingWebhook(row, waiting.get(row.id, 0)) for row in queries.all_of(connection)]

    def remove(self, webhook: int) -> None:
        """Remove a webhook, and what waits for it; raises `NotFoundError`."""
        with self._database.transaction("remove_webhook") as connection:
            if not queries.remove(connection, webhook):
                raise NotFoundError(f"there is no webhook {webhook}")

    def _check_url(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            # As the sender reads it; a bad IDNA name is found when the host is decoded.
            has_host = bool(parts.hostname) and bool(httpx.URL(url).host) and parts.port != 0
        except (ValueError, httpx.InvalidURL) as error:
            raise UnusableUrlError(f"url: {error}") from error
        if parts.scheme not in ("https", "http") or not has_host or not url.isascii() or " " in url:
            raise UnusableUrlError("url: write https://host/path, in ASCII")
        if parts.scheme == "http" and not self._allows_http:
            raise UnusableUrlError("url: https is needed, unless WEBHOOK_ALLOW_HTTP is set")
        if parts.username is not None or parts.fragment:
            raise UnusableUrlError("url: has no user, password or fragment; the signature proves who sends")
