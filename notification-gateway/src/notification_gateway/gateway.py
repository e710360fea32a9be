"""The running gateway: its parts, and the tasks that keep it going."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from notification_gateway import channels
from notification_gateway.actions.service import IncidentActions
from notification_gateway.alerting.escalation import Escalation
from notification_gateway.alerting.expiry import IncidentExpiry
from notification_gateway.alerting.notifier import IncidentNotifier
from notification_gateway.alerting.reminders import Reminders
from notification_gateway.alerting.unattended import UnattendedIncidents
from notification_gateway.dashboard.page import Page
from notification_gateway.dashboard.panels import Panels
from notification_gateway.dashboard.sources import Prometheus, Registry, Source
from notification_gateway.delivery.witness import DeliveryWitness
from notification_gateway.delivery.worker import DeliveryLoop
from notification_gateway.expected_runs import ExpectedRuns
from notification_gateway.heartbeat import sender as heartbeat
from notification_gateway.heartbeat.sender import Heartbeat
from notification_gateway.incidents.timeline import EVERY_ENVIRONMENT, StackChange, add_stack_changes
from notification_gateway.messages.composer import Composer
from notification_gateway.messages.links import Links
from notification_gateway.metrics import Metrics
from notification_gateway.outbox import queries as outbox
from notification_gateway.own_signals import OwnSignals
from notification_gateway.policy.channel_names import known_channels
from notification_gateway.policy.mentions import split_mentions
from notification_gateway.policy.model import Policy
from notification_gateway.policy.watching import PolicyFile
from notification_gateway.retention import remove_old
from notification_gateway.settings import Settings
from notification_gateway.signals.intake import Intake
from notification_gateway.storage import Storage
from notification_gateway.summaries.closing import Summaries
from notification_gateway.summaries.periods import Periods
from servicekit.background import BackgroundLoops

_log = logging.getLogger(__name__)

POLICY_SECONDS = 1.0
TIME_SECONDS = 5.0
RETENTION_SECONDS = 3600.0
ORPHANS_SECONDS = 30.0
# A database that is back must not wait for long for the messages that waited for it.
DELIVERY_BACKOFF_SECONDS = 5.0

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Gateway:
    """Built without touching file, database or network; `running()` opens them."""

    def __init__(self, settings: Settings, own_signals: OwnSignals, clock: Clock = utc_now) -> None:
        self.settings = settings
        self.clock = clock
        self.metrics = Metrics()
        self.storage = Storage(settings.database_url.get_secret_value())
        zone = ZoneInfo(settings.alert_timezone)
        self._periods = Periods(zone, settings.alert_digest_hour)
        self.links = Links(
            settings.collector_url, settings.runbook_url, settings.gateway_public_url, settings.admin_token
        )
        self.composer = Composer(zone, settings.alert_language, self.links)
        self.notifier = IncidentNotifier(self.composer, self._periods.start, split_mentions(settings.weixin_mention))
        self.intake = Intake(
            self.storage, self._policy_in_use, self.notifier, clock, self.wake, period_start=self._periods.start
        )
        self.weixin = channels.weixin(settings, clock)
        self.email = channels.email(settings)
        self.channels = {"weixin": self.weixin, "email": self.email, **channels.named(settings)}
        self.witnesses = {name: DeliveryWitness(name, self.metrics, each.kind) for name, each in self.channels.items()}
        self.policy_file: PolicyFile | None = None
        self._own_signals = own_signals
        self._loop: asyncio.AbstractEventLoop | None = None
        self.expiry = IncidentExpiry(self.storage, self.notifier, clock)
        unattended = UnattendedIncidents(self.storage, self._policy_in_use, clock, self.wake)
        self.reminders = Reminders(unattended, self.notifier)
        self.escalation = Escalation(unattended, self.notifier)
        self.actions = IncidentActions(self.storage, self.notifier, clock, self.wake)
        hours = settings.expected_run_hours
        within = timedelta(hours=hours) if hours else None
        self.expected_runs = ExpectedRuns(self.storage, settings.sentry_environment, within, clock)
        self.prometheus = Source(settings.prometheus_url, clock)
        self.registry = Source(settings.registry_url, clock)
        self.summaries = Summaries(self.storage, self.composer, self.links, self._periods, clock, self.wake)
        panels = Panels(Prometheus(self.prometheus), Registry(self.registry, settings.model_name), self.summaries)
        self.page = Page(panels, zone, self.links)
        url = settings.heartbeat_url
        self.heartbeat = Heartbeat(
            None if url is None else url.get_secret_value(), self.storage, self._loop_fault, clock, self.metrics
        )
        self.deliveries = self._delivery_loops()
        self.loops = self._background_loops()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open everything for the length of a block; raises `PolicyError` and `SQLAlchemyError`."""
        self.policy_file = PolicyFile(self.settings.alert_policy, known_channels(self.channels))
        await asyncio.to_thread(self.storage.migrate)
        self._loop = asyncio.get_running_loop()
        try:
            async with self.loops.running():
                self._own_signals.connect(self.intake.accept)
                try:
                    yield
                finally:
                    self._own_signals.disconnect()
        finally:
            await asyncio.gather(*(each.drain() for each in self.deliveries))
            for configured in self.channels.values():
                await configured.channel.close()
            await self.heartbeat.close()
            self.prometheus.close()
            self.registry.close()
            self._loop = None
            self.storage.close()

    def wake(self) -> None:
        """Have the outbox looked into at once; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake_deliveries)

    def _wake_deliveries(self) -> None:
        for each in self.deliveries:
            each.wake()

    def _policy_in_use(self) -> Policy:
        if self.policy_file is None:
            raise RuntimeError("the gateway is not running")
        return self.policy_file.policy

    def _delivery_loops(self) -> list[DeliveryLoop]:
        lease = timedelta(seconds=self.settings.delivery_lease_seconds)
        configured = [name for name, each in self.channels.items() if each.configured]
        return [
            DeliveryLoop(
                name,
                each.channel,
                self.storage,
                self.clock,
                self.witnesses[name],
                lease=lease,
                group=self.composer.storm,
                failover=[other for other in configured if other != name],
                on_failover=self._wake_deliveries,
            )
            for name, each in self.channels.items()
        ]

    def _background_loops(self) -> BackgroundLoops:
        loops = BackgroundLoops()

        def chore(name: str, run: Callable[[], object], seconds: float) -> None:
            loops.add(name, partial(asyncio.to_thread, run), interval=seconds)

        chore("policy", self._refresh_policy, POLICY_SECONDS)
        chore("incident expiry", self.expiry.resolve, TIME_SECONDS)
        chore("reminders", self.reminders.remind, TIME_SECONDS)
        chore("escalation", self.escalation.escalate, TIME_SECONDS)
        chore("summaries", self.summaries.close_due, TIME_SECONDS)
        chore("expected runs", self.expected_runs.check, TIME_SECONDS)
        chore("orphaned messages", self.move_orphans, ORPHANS_SECONDS)
        chore("retention", self._remove_old, RETENTION_SECONDS)
        if self.settings.heartbeat_url is not None:
            loops.add("heartbeat", self.heartbeat.beat, interval=heartbeat.SECONDS)
        for each in self.deliveries:
            loops.add(f"delivery {each.name}", each.step, max_backoff=DELIVERY_BACKOFF_SECONDS)
        return loops

    def _loop_fault(self) -> str:
        if stuck := self.loops.stuck(heartbeat.MAX_STEP_SECONDS):
            return f"{', '.join(stuck)} hangs"
        check = self.loops.check()
        return "" if check.status == "healthy" else check.detail

    def move_orphans(self) -> None:
        """Send through another channel what waits for one that was taken out of APPRISE_URLS."""
        heir = next((name for name, each in self.channels.items() if each.configured), "weixin")
        with self.storage.writing() as connection:
            moved = outbox.move_orphans(connection, list(self.channels), heir)
        if moved:
            _log.warning("%d messages for channels that are no longer configured go through %s", moved, heir)
            self.wake()

    def _refresh_policy(self) -> None:
        edit = None if self.policy_file is None else self.policy_file.refresh()
        if edit is not None:
            change = StackChange(self.clock(), "policy", self.settings.alert_policy.name, edit)
            with self.storage.writing() as connection:
                add_stack_changes(connection, EVERY_ENVIRONMENT, [change])

    def _remove_old(self) -> None:
        remove_old(self.storage, self.clock(), timedelta(days=self.settings.retention_days))
