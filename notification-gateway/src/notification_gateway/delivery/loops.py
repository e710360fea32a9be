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
# After an outage of the database, messages must go out again within seconds.
MAX_BACKOFF_SECONDS = 5.0


class DeliveryLoops:
    """One delivery loop and one observer per channel.

    A message that one channel can't deliver fails over to the next configured one. `group` composes a storm's message.
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
        """Let `wake` reach the loops within a block; at its end, close all channels."""
        self._loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            await self.close()
            self._loop = None

    async def close(self) -> None:
        """Wait for running sends, then close all channels."""
        await asyncio.gather(*(each.drain() for each in self.loops))
        for configured in self.channels.values():
            await configured.channel.close()

    def add_loops(self, loops: BackgroundLoops) -> None:
        """Add the loop of each channel, and one that moves messages of removed channels."""
        add_chore(loops, "orphaned messages", self.reassign_orphans, ORPHANS_SECONDS)
        for each in self.loops:
            loops.add(f"delivery {each.name}", each.step, max_backoff=MAX_BACKOFF_SECONDS)

    def wake(self) -> None:
        """Make the loops read the outbox at once; may be called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake_all)

    def reassign_orphans(self) -> None:
        """Move messages of channels that were removed from APPRISE_URLS to another channel."""
        fallback = next(iter(self._configured), "weixin")
        with self._storage.transaction() as connection:
            moved = outbox.reassign_orphans(connection, list(self.channels), fallback)
        if moved:
            _log.warning("%d messages for channels that are no longer configured go through %s", moved, fallback)
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
