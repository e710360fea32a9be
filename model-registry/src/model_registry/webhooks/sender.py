"""Posts what waits in the outbox: one process to a webhook at a time, in order, until it has arrived."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import Row
from starlette.concurrency import run_in_threadpool

from contracts.text import repair_text
from contracts.webhooks import SIGNATURE_HEADER, sign
from model_registry.database import Database
from model_registry.metrics import Metrics
from model_registry.webhooks import queries
from servicekit.background import report_failure
from servicekit.outbound.addresses import resolve, resolve_public
from servicekit.outbound.http import TIMEOUT, AddressCheckingAsyncTransport, call_async

# How soon an event is posted; half a millisecond of CPU a look.
INTERVAL_SECONDS = 0.5
# A process that was killed while it sent is succeeded after this time. A call takes at most 5 s.
LEASE = timedelta(seconds=15)
MAX_AGE = timedelta(hours=24)
_FIRST_DELAY_SECONDS = 1.0
_MAX_DELAY_SECONDS = 3600.0
_MAX_ERROR_CHARS = 500

Post = Callable[[str, bytes, dict[str, str]], Awaitable[int]]


class WebhookSender:
    """Sends to all webhooks at the same time; one that hangs delays no other.

    `post` sends a body and returns the HTTP status; it raises `httpx.HTTPError`.
    """

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        post: Post,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._post = post
        self._clock = clock
        self._sending: dict[int, asyncio.Task[None]] = {}

    async def step(self) -> None:
        """Begin to send to each webhook for which something waits.

        What a sending has raised is noted on its webhook, which is tried again when its claim ends.
        """
        ended = [webhook for webhook, task in self._sending.items() if task.done()]
        for webhook in ended:
            await self._note_end(webhook, self._sending.pop(webhook))
        for webhook in await run_in_threadpool(self._due):
            if webhook not in self._sending:
                self._sending[webhook] = asyncio.create_task(self._send_all(webhook))

    async def drain(self) -> None:
        """Wait until what is being sent has arrived or failed."""
        await asyncio.gather(*self._sending.values(), return_exceptions=True)

    async def close(self) -> None:
        """Stop sending; what waits is sent by the next process."""
        for task in self._sending.values():
            task.cancel()
        await self.drain()

    async def _note_end(self, webhook: int, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        report_failure("webhooks", error)
        await run_in_threadpool(self._note_error, webhook, type(error).__name__)

    def _note_error(self, webhook: int, error: str) -> None:
        with self._database.transaction("note_webhook") as connection:
            queries.note(connection, webhook, last_error=error)

    async def _send_all(self, webhook: int) -> None:
        """Send what waits for a webhook, oldest first, up to the first failure."""
        while (delivery := await run_in_threadpool(self._claim_next, webhook)) is not None:
            error = "it waited for more than a day" if self._is_late(delivery) else await self._try(delivery)
            await run_in_threadpool(self._finish, delivery, error)

    async def _try(self, delivery: Row[Any]) -> str | None:
        """Post a delivery; return why that failed, None if it didn't."""
        body, now = delivery.body.encode(), int(self._clock().timestamp())
        headers = {"Content-Type": "application/json", SIGNATURE_HEADER: sign(delivery.secret, body, now)}
        try:
            status = await self._post(delivery.url, body, headers)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return repair_text(f"{type(error).__name__}: {error}", _MAX_ERROR_CHARS)
        return None if httpx.codes.is_success(status) else f"HTTP {status}"

    def _due(self) -> list[int]:
        with self._database.transaction("find_deliveries") as connection:
            return list(queries.due(connection, self._clock()))

    def _claim_next(self, webhook: int) -> Row[Any] | None:
        now = self._clock()
        with self._database.transaction("claim_delivery") as connection:
            if not queries.claim(connection, webhook, now, now + LEASE):
                return None
            delivery = queries.first_waiting(connection, webhook)
            if delivery is None:
                queries.note(connection, webhook, claimed_until=None)
            return delivery

    def _finish(self, delivery: Row[Any], error: str | None) -> None:
        now, webhook = self._clock(), delivery.webhook
        with self._database.transaction("finish_delivery") as connection:
            if error is None:
                queries.remove_delivery(connection, delivery.id)
                done = {"failures": 0, "retry_at": None, "last_success_at": now, "last_error": None}
                queries.note(connection, webhook, claimed_until=None, **done)
            elif self._is_late(delivery):
                queries.remove_delivery(connection, delivery.id)
                queries.note(connection, webhook, claimed_until=None, last_error=error)
            else:
                retry_at = now + timedelta(seconds=_delay(delivery.failures))
                failed = {"failures": delivery.failures + 1, "retry_at": retry_at, "last_error": error}
                queries.note(connection, webhook, claimed_until=None, **failed)
        outcome = "delivered" if error is None else "expired" if self._is_late(delivery) else "failed"
        self._metrics.webhook_deliveries.labels(outcome).inc()

    def _is_late(self, delivery: Row[Any]) -> bool:
        return bool(self._clock() - delivery.created_at > MAX_AGE)


def poster(*, allows_private: bool) -> tuple[Post, Callable[[], Awaitable[None]]]:
    """Return what posts, and what closes its connections.

    It connects to an address that was checked, whatever DNS answers later, follows no redirect and uses no proxy.
    """
    transport = AddressCheckingAsyncTransport(resolve if allows_private else resolve_public)
    http = httpx.AsyncClient(timeout=TIMEOUT, transport=transport, trust_env=False)

    async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
        return (await call_async(http, "POST", url, content=body, headers=headers)).status

    return post, http.aclose


def _delay(failures: int) -> float:
    return min(_FIRST_DELAY_SECONDS * 4.0 ** min(failures, 10), _MAX_DELAY_SECONDS)
