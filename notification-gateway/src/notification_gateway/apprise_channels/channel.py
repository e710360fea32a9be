"""A named channel of one or more Apprise services."""

import asyncio
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import apprise

from monitoring.redaction import Redactor
from notification_gateway.apprise_channels.guard import guarded
from notification_gateway.delivery.channel import Delivered, Outcome, Rejected
from notification_gateway.messages.forms import plain
from notification_gateway.outbox.notice import Notice
from notification_gateway.url_secrets import secret_parts
from servicekit.outbound.http import TOTAL_SECONDS

# Most services accept about one message a second; a storm of incidents needs few messages.
PER_MINUTE = 20
# Their sum is the time limit of an outbound call.
CONNECT_SECONDS = 2.0
READ_SECONDS = 3.0
MAX_REASON = 300
_HTTP_ERROR = re.compile(r"\berror=(\d{3})\b")
_FAILURE_LEVELS = frozenset({"WARNING", "ERROR", "CRITICAL"})
# Client errors that may pass: a later try may succeed.
_RETRYABLE_STATUSES = frozenset({408, 425, 429})


class UnusableUrlError(ValueError):
    """Apprise can't use a URL: correct APPRISE_URLS."""


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one service; an empty reason means success."""

    reason: str = ""
    retryable: bool = True


class AppriseService:
    """The service of one URL, with one call at a time; after a timeout it rejects calls until the hanging one ends."""

    def __init__(self, url: str) -> None:
        asset = apprise.AppriseAsset(async_mode=False, service_timeout=TOTAL_SECONDS, http_redirects=False)
        _load_plugins()
        plugin = apprise.Apprise.instantiate(url, asset=asset)
        if plugin is None:
            raise UnusableUrlError("Apprise can't use the URL")
        # These override the URL's own options.
        plugin.socket_connect_timeout, plugin.socket_read_timeout = CONNECT_SECONDS, READ_SECONDS
        plugin.redirects = False
        self._redactor = Redactor(secret_parts(url))
        self._service = apprise.Apprise(asset=asset)
        self._service.add(plugin)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="apprise")
        self._running: Future[Result] | None = None
        self.name = str(plugin.service_name or "service")

    async def send(self, title: str, body: str) -> Result:
        """Send once; returns failures of the service, never raises them."""
        if self._running is not None and not self._running.done():
            return Result(f"{self.name}: the last call still hangs")
        self._running = self._executor.submit(self._notify, title, body)
        try:
            async with asyncio.timeout(TOTAL_SECONDS + 1):
                return await asyncio.wrap_future(self._running)
        except TimeoutError:
            return Result(f"{self.name}: no answer within {TOTAL_SECONDS:g} s")

    def close(self) -> None:
        """Make no more calls."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _notify(self, title: str, body: str) -> Result:
        with guarded() as blocked:
            outcome = self._service.notify(
                body=body, title=title, body_format=apprise.NotifyFormat.TEXT, timeout=TOTAL_SECONDS
            )
        # Judged by the attempts: a service that its URL marks as optional always counts as successful.
        attempts = [attempt for service in outcome for attempt in service.attempts]
        if attempts and attempts[-1].status == apprise.AppriseResultStatus.SUCCESS:
            return Result()
        failures = [entry.message for attempt in attempts for entry in attempt.logs if entry.level in _FAILURE_LEVELS]
        reason = " ".join((failures[-1] if failures else "rejected without a reason").split())
        code = _HTTP_ERROR.search(reason)
        final = code is not None and code[1].startswith("4") and int(code[1]) not in _RETRYABLE_STATUSES
        if blocked:
            reason, final = blocked[0], True
        return Result(f"{self.name}: {self._redactor.text(reason)[:MAX_REASON]}", retryable=not final)


@cache
def _load_plugins() -> None:
    with warnings.catch_warnings():
        # A plugin imports `imghdr`, which is deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        apprise.Apprise.instantiate("json://localhost")


class AppriseChannel:
    """Sends to all services of a name; a message is delivered if one of them accepts it."""

    per_minute = PER_MINUTE
    # The services don't deduplicate: a retry may arrive as a second message.
    max_concurrent_sends = 1

    def __init__(self, urls: Sequence[str]) -> None:
        self._services = [AppriseService(url) for url in urls]

    async def send(self, notice: Notice, key: str) -> Outcome:  # noqa: ARG002 - services don't deduplicate
        """Try each service once."""
        body = plain(notice).removeprefix(notice.title).lstrip("\n")
        results = await asyncio.gather(*(each.send(notice.title, body) for each in self._services))
        failed = [each for each in results if each.reason]
        detail = "; ".join(each.reason for each in failed)
        if len(failed) < len(results):
            return Delivered(detail)
        return Rejected(detail, retryable=any(each.retryable for each in failed))

    async def close(self) -> None:
        """Make no more calls."""
        for each in self._services:
            each.close()
