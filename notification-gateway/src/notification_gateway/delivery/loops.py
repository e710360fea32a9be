"""The delivery loops of all channels."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from notification_gateway.chores import add_chore
from notification_gateway.delivery.channel import ConfiguredChannel
from notification_gateway.delivery.grouping import Group
from notification_gateway.delivery.observers import ChannelObserver
from notification_gateway.delivery.worker import DeliveryLoop
from notification_gateway.metrics import Metrics
from notification_gateway.outbox import queries as outbox
from notification_gateway.policy.channel_names import BUILT_IN_CHANNELS
from notification_gateway.storage import Storage
from servicekit.background import BackgroundLoops
from servicekit.health import Check

_log = logging.getLogger(__name__)

ORPHANS_SECONDS = 30.0
# A database that is back must not wait for long for the messages that waited for it.
MAX_BACKOFF_SECONDS = 5.0


class DeliveryLoops:
    """One loop for each channel, and one observer of what becomes of its messages.

    A message that one channel can't deliver fails over to the next configured one. `group` writes a storm's message.
    """

    def __init__(
        self,
        channels: Mapping[str, ConfiguredChannel],
        storage: Storage,
        metrics: Metrics,
        clock: Callable[[], datetime],
        *,
        lease: timedelta,
        group: Group,
    ) -> None:
        self.channels = channels
        self.observers = {name: ChannelObserver(name, metrics, each.kind) for name, each in channels.items()}
        self._storage = storage
        self._configured = [name for name, each in channels.items() if each.configured]
        self._loop: asyncio.AbstractEventLoop | None = None
        self.loops = [
            DeliveryLoop(
                name,
                each.channel,
                storage,
                clock,
                self.observers[name],
                lease=lease,
                group=group,
                failover=[other for other in self._configured if other != name],
                on_failover=self._wake_all,
            )
            for name, each in channels.items()
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have `wake` reach the loops for the length of a block; at its end all channels are closed."""
        self._loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            await self.close()
            self._loop = None

    async def close(self) -> None:
        """Let finish what is on its way, and close all channels."""
        await asyncio.gather(*(each.drain() for each in self.loops))
        for configured in self.channels.values():
            await configured.channel.close()

    def add_loops(self, loops: BackgroundLoops) -> None:
        """Add the loop of each channel, and one that looks for messages of channels that were taken away."""
        add_chore(loops, "orphaned messages", self.move_orphans, ORPHANS_SECONDS)
        for each in self.loops:
            loops.add(f"delivery {each.name}", each.step, max_backoff=MAX_BACKOFF_SECONDS)

    def wake(self) -> None:
        """Have the outbox looked into at once; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake_all)

    def move_orphans(self) -> None:
        """Send through another channel what waits for one that was taken out of APPRISE_URLS."""
        heir = next(iter(self._configured), "weixin")
        with self._storage.transaction() as connection:
            moved = outbox.move_orphans(connection, list(self.channels), heir)
        if moved:
            _log.warning("%d messages for channels that are no longer configured go through %s", moved, heir)
            self.wake()

    def checks(self) -> dict[str, Check]:
        """Return the check of each channel for `/health`."""
        return {
            name if name in BUILT_IN_CHANNELS else f"channel {name}": _check(each, self.observers[name].last_failure)
            for name, each in self.channels.items()
        }

    def _wake_all(self) -> None:
        for each in self.loops:
            each.wake()


def _check(configured: ConfiguredChannel, failure: str | None) -> Check:
    if not configured.configured:
        return Check(status="healthy", detail="not configured")
    if failure is not None:
        return Check(status="degraded", detail=failure)
    return Check(status="healthy", detail=f"to {configured.kind}{' (simulator)' if configured.is_simulated else ''}")
