"""The delivery loop of one channel."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection

from notification_gateway.delivery.channel import Channel, Delivered, Outcome, Rejected
from notification_gateway.delivery.grouping import Group, group_storm
from notification_gateway.delivery.steps import Done, GiveUp, Step, TryAgain, next_step
from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import Claim, NewNotification
from notification_gateway.outbox.pacing import allowance
from notification_gateway.policy import model as policy
from notification_gateway.storage import Storage
from servicekit.background import report_failure

_log = logging.getLogger(__name__)

# Finds retries and messages of other replicas; messages of this process wake the loop at once.
POLL_SECONDS = 0.5
MAX_SEND_SECONDS = 10.0
# How many unreadable notifications one step gives up at most.
MAX_UNREADABLE = 100


class DeliveryObserver(Protocol):
    """Receives the outcomes of deliveries, for monitoring and metrics."""

    def on_delivered(self, claimed: Claim, seconds: float) -> None:
        """The message was delivered, `seconds` after it was enqueued."""
        ...

    def on_partly_delivered(self, claimed: Claim, outcome: Delivered, seconds: float) -> None:
        """The message was delivered, but not to all recipients."""
        ...

    def on_failed(self, claimed: Claim, outcome: Rejected) -> None:
        """This channel can't deliver the message, or not soon."""
        ...


class DeliveryLoop:
    """Claims, sends and marks notifications, at least once even if the process dies; run `step` in a loop."""

    def __init__(
        self,
        name: policy.Channel,
        channel: Channel,
        storage: Storage,
        clock: Callable[[], datetime],
        observer: DeliveryObserver,
        *,
        lease: timedelta,
        group: Group | None = None,
        failover: policy.Channel | Sequence[policy.Channel] | None = None,
        on_failover: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._loop_name = f"delivery {name}"
        self._channel = channel
        self._storage = storage
        self._clock = clock
        self._observer = observer
        self._lease = lease
        # Less than the lease, so that no other process sends the same message meanwhile.
        self._send_seconds = min(MAX_SEND_SECONDS, lease.total_seconds() / 2)
        self._group = group
        self._failover = [failover] if isinstance(failover, str) else list(failover or ())
        self._on_failover = on_failover
        self._wake = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Make the loop read the outbox at once."""
        self._wake.set()

    async def step(self) -> None:
        """Start due sends, or wait for one to become due."""
        self._wake.clear()
        claimed = await self._claim()
        for each in claimed:
            task = asyncio.create_task(self._deliver(each))
            self._sending.add(task)
            task.add_done_callback(self._finished)
        if not claimed:
            await self._pause()

    async def drain(self) -> None:
        """Wait for running sends: the timeout is short, and a message whose connection is cut would be sent twice."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=self._send_seconds / 2)

    async def deliver_due(self) -> int:
        """Deliver the due messages and return their number; for tests."""
        claimed = await self._claim()
        await asyncio.gather(*map(self._deliver, claimed))
        return len(claimed)

    async def _claim(self) -> list[Claim]:
        free = self._channel.max_concurrent_sends - len(self._sending)
        if free <= 0:
            return []
        return await asyncio.to_thread(self._claim_now, free)

    def _claim_now(self, limit: int) -> list[Claim]:
        for _ in range(MAX_UNREADABLE):
            try:
                return self._claim_due(limit)
            except outbox.UnreadableNoticeError as error:
                self._give_up_unreadable(error)
        return []

    def _give_up_unreadable(self, error: outbox.UnreadableNoticeError) -> None:
        report_failure(self._loop_name, error)
        with self._storage.transaction() as connection:
            outbox.mark_unreadable(connection, error.notification_id, str(error))

    def _claim_due(self, limit: int) -> list[Claim]:
        # Under the channel's lock, because all replicas share the rate limit.
        now = self._clock()
        with self._storage.exclusive(self.name) as connection:
            sent = outbox.recent_attempts(connection, self.name, now)
            allowed = allowance(self._channel.per_minute, limit, sent, now)
            if self._group is not None and allowed.messages:
                group_storm(connection, self.name, now, self._group, scarce=allowed.scarce)
            return outbox.claim(connection, self.name, now, self._lease, limit=allowed.messages)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The message is tried again when the lease expires.
            report_failure(self._loop_name, error)

    async def _deliver(self, claimed: Claim) -> None:
        outcome = await self._send(claimed)
        step = next_step(claimed, outcome, self._clock(), has_other_channel=self._next_channel(claimed) is not None)
        await asyncio.to_thread(self._mark, claimed, step)
        if isinstance(outcome, Delivered):
            seconds = (self._clock() - claimed.created_at).total_seconds()
            if outcome.detail:
                self._observer.on_partly_delivered(claimed, outcome, seconds)
            else:
                self._observer.on_delivered(claimed, seconds)
        elif isinstance(step, GiveUp) or (isinstance(step, TryAgain) and step.is_trouble):
            _log.warning("%s %s through %s: %s", claimed.kind, claimed.id, self.name, step.detail)
            self._observer.on_failed(claimed, outcome)
        if isinstance(step, GiveUp) and step.failover and self._on_failover is not None:
            self._on_failover()

    def _next_channel(self, claimed: Claim) -> policy.Channel | None:
        """Return the first channel that may carry the message and has not tried it."""
        excluded = {*claimed.notice.not_through, *claimed.notice.tried}
        return next((each for each in self._failover if each not in excluded), None)

    async def _send(self, claimed: Claim) -> Outcome:
        try:
            async with asyncio.timeout(self._send_seconds):
                return await self._channel.send(claimed.notice, claimed.dedupe_key)
        except TimeoutError:
            return Rejected(f"no answer within {self._send_seconds:g} s", retryable=True)
        except Exception as error:  # noqa: BLE001 - one notice that a channel can't render must not block the others
            report_failure(self._loop_name, error)
            # A channel never raises for faults of the service, so a retry would fail in the same way.
            return Rejected(f"{type(error).__name__}: {error}", retryable=isinstance(error, OSError), reported=True)

    def _mark(self, claimed: Claim, step: Step) -> None:
        now = self._clock()
        with self._storage.transaction() as connection:
            match step:
                case Done(detail):
                    outbox.mark_sent(connection, claimed, now, _storable(detail))
                case TryAgain(at, detail):
                    outbox.mark_waiting(connection, claimed, at, _storable(detail))
                case GiveUp(detail, failover):
                    other = self._next_channel(claimed) if failover else None
                    if other is not None:
                        self._fail_over(connection, claimed, other, now)
                    outbox.mark_failed(connection, claimed, _storable(detail))

    def _fail_over(self, connection: Connection, claimed: Claim, other: policy.Channel, now: datetime) -> None:
        tried = (*claimed.notice.tried, self.name)
        new = NewNotification(
            dedupe_key=f"{claimed.dedupe_key}:{other}",
            kind=claimed.kind,
            channel=other,
            notice=claimed.notice.model_copy(update={"tried": tried}),
            due=now,
            incident_id=claimed.incident_id,
        )
        new_id = outbox.enqueue(connection, new, now)
        if new_id is not None:
            outbox.move_group(connection, claimed, other, new_id)


def _storable(detail: str) -> str:
    """Return a detail that the database can store: if marking failed for its text, the message would be sent again."""
    return detail.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
