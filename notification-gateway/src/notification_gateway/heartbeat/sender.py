"""Calls HEARTBEAT_URL once a minute while alerts are delivered."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import httpx
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from notification_gateway.heartbeat import queries
from notification_gateway.metrics import Metrics
from notification_gateway.storage import Storage
from servicekit.background import BackgroundLoops
from servicekit.health import Check
from servicekit.outbound.http import async_client, call_async

_log = logging.getLogger(__name__)

SECONDS = 60.0
# A loop whose step takes longer counts as hanging.
MAX_STEP_SECONDS = 300.0
# Without a call for so long, the heartbeat's own loop counts as hanging.
OVERDUE = timedelta(seconds=3 * SECONDS)


class Heartbeat:
    """A failed call is only logged and counted: the service that waits for the calls raises the alarm."""

    def __init__(
        self,
        url: SecretStr | None,
        storage: Storage,
        loops: BackgroundLoops,
        clock: Callable[[], datetime],
        metrics: Metrics,
    ) -> None:
        self._url = None if url is None else url.get_secret_value()
        self._http = None if self._url is None else async_client(self._url)
        self._storage = storage
        self._loops = loops
        self._clock = clock
        self._metrics = metrics
        self._problem = ""
        self._started_at = clock()
        self._beat_at: datetime | None = None

    def add_loop(self) -> None:
        """Add the loop that calls HEARTBEAT_URL, if it is set."""
        if self._http is not None:
            self._loops.add("heartbeat", self.beat, interval=SECONDS)

    async def beat(self) -> None:
        """Call the URL once, unless alerts are not delivered; never raises for failures of the other side."""
        if self._http is None or self._url is None:
            return
        problem = await asyncio.to_thread(self._find_fault)
        if problem:
            self._note("withheld", f"not called: {problem}")
            return
        try:
            response = await call_async(self._http, "GET", self._url)
        except httpx.HTTPError as error:
            # Not the error's text: it may name the URL, and that is a secret.
            self._note("failed", f"no answer ({type(error).__name__})")
            return
        if not httpx.codes.is_success(response.status):
            self._note("failed", f"answered HTTP {response.status}{_redirect_advice(response.status)}")
            return
        self._beat_at = self._clock()
        self._note("sent", "")

    def check(self) -> Check:
        """Return the check `heartbeat` of `/health`."""
        if self._http is None:
            return Check(status="healthy", detail="not configured")
        if self._problem:
            return Check(status="degraded", detail=self._problem)
        if self._clock() - (self._beat_at or self._started_at) > OVERDUE:
            return Check(status="degraded", detail="not called for three minutes")
        if self._beat_at is None:
            return Check(status="healthy", detail="not called yet")
        return Check(status="healthy", detail=f"called at {self._beat_at.isoformat(timespec='seconds')}")

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()

    def _find_fault(self) -> str:
        if fault := self._loop_fault():
            return fault
        now = self._clock()
        try:
            with self._storage.transaction() as connection:
                queries.write_beat(connection, now)
                undelivered = queries.undelivered_p0(connection, now)
        except SQLAlchemyError as error:
            return f"the database takes no writes ({type(error).__name__})"
        return f"{undelivered} P0 undelivered for more than 2 minutes" if undelivered else ""

    def _loop_fault(self) -> str:
        if stuck := self._loops.stuck(MAX_STEP_SECONDS):
            return f"{', '.join(stuck)} hangs"
        check = self._loops.check()
        return "" if check.status == "healthy" else check.detail

    def _note(self, outcome: str, problem: str) -> None:
        self._metrics.heartbeats.labels(outcome).inc()
        if problem:
            _log.warning("heartbeat: %s", problem)
        elif self._problem:
            _log.info("heartbeat: called again")
        self._problem = problem


def _redirect_advice(status: int) -> str:
    return ", and redirects are not followed" if httpx.codes.is_redirect(status) else ""
