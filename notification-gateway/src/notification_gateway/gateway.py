"""The gateway without HTTP: builds, opens and closes its parts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from notification_gateway.alert_pipeline import AlertPipeline
from notification_gateway.alerting.policy_changes import refresh_policy
from notification_gateway.channels import build_channels
from notification_gateway.chores import add_chore
from notification_gateway.dashboard.assembly import Dashboard
from notification_gateway.delivery.loops import DeliveryLoops
from notification_gateway.health import check_database
from notification_gateway.heartbeat.sender import Heartbeat
from notification_gateway.incidents.false_alarms import FalseAlarmGauges
from notification_gateway.messages.composer import Composer
from notification_gateway.messages.links import Links
from notification_gateway.metrics import Metrics
from notification_gateway.own_signals import OwnSignals
from notification_gateway.policy.channel_names import allowed_channels
from notification_gateway.policy.watching import PolicyFile
from notification_gateway.reports.durations import REFRESH_SECONDS, StepDurations
from notification_gateway.request_index.queries import remove_old_requests
from notification_gateway.retention import remove_old
from notification_gateway.settings import Settings
from notification_gateway.storage import Storage
from servicekit.background import BackgroundLoops
from servicekit.health import Check
from servicekit.token_list import add_token_list
from servicekit.tokens import KnownToken, Tokens

POLICY_SECONDS = 1.0
RETENTION_SECONDS = 3600.0

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class Gateway:
    """Opens no file, database or connection before `running()`."""

    def __init__(self, settings: Settings, own_signals: OwnSignals, clock: Clock = utc_now) -> None:
        self._own_signals = own_signals
        self._clock = clock
        self.storage = Storage(settings.database_url.get_secret_value())
        self.metrics = Metrics()
        channels = build_channels(settings, clock)
        self.policy_file = PolicyFile(settings.alert_policy, allowed_channels(channels))
        self.composer = _composer(settings)
        self.delivery = DeliveryLoops(
            channels,
            self.storage,
            self.metrics,
            clock,
            lease=timedelta(seconds=settings.delivery_lease_seconds),
            group=self.composer.compose_storm,
        )
        self.alerts = AlertPipeline(
            settings, self.storage, self.policy_file, self.composer, clock, on_stored=self.delivery.wake
        )
        self.dashboard = Dashboard(settings, self.alerts.summaries, self.composer.links, clock)
        self.tokens = Tokens(
            KnownToken.of_setting("ADMIN_TOKEN", settings.admin_token, "admin"),
            KnownToken.of_setting("GATEWAY_TOKEN", settings.gateway_token, "signals"),
        )
        self.loops = BackgroundLoops()
        add_token_list(self.loops, self.tokens, settings.registry_url, settings.registry_read_token)
        self.heartbeat = Heartbeat(settings.heartbeat_url, self.storage, self.loops, clock, self.metrics)
        self._add_loops(timedelta(days=settings.retention_days))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open everything within a block; raises `PolicyError` and `SQLAlchemyError`."""
        self.policy_file.load()
        await asyncio.to_thread(self.storage.migrate)
        try:
            async with self.delivery.running(), self.loops.running():
                self._own_signals.connect(self.alerts.intake.accept)
                try:
                    yield
                finally:
                    self._own_signals.disconnect()
        finally:
            await self.heartbeat.close()
            self.dashboard.close()
            self.storage.close()

    def checks(self) -> dict[str, Check]:
        """Return the checks of `/health`."""
        return {
            "database": check_database(self.storage, self._clock()),
            "policy": self.policy_file.check(),
            **self.delivery.checks(),
            "background": self.loops.check(),
            "heartbeat": self.heartbeat.check(),
        }

    def _add_loops(self, retention: timedelta) -> None:
        def refresh() -> None:
            refresh_policy(self.policy_file, self.storage, self._clock())

        def remove() -> None:
            remove_old(self.storage, self._clock(), retention)
            remove_old_requests(self.storage, self._clock())

        add_chore(self.loops, "policy", refresh, POLICY_SECONDS)
        self.alerts.add_loops(self.loops)
        add_chore(self.loops, "retention", remove, RETENTION_SECONDS)
        durations = StepDurations(self.storage, self.metrics.registry)
        add_chore(self.loops, "step durations", durations.refresh, REFRESH_SECONDS)
        false_alarms = FalseAlarmGauges(self.storage, self.metrics.registry)
        add_chore(self.loops, "false alarms", lambda: false_alarms.refresh(self._clock()), REFRESH_SECONDS)
        self.heartbeat.add_loop()
        self.delivery.add_loops(self.loops)


def _composer(settings: Settings) -> Composer:
    links = Links(settings.collector_url, settings.runbook_url, settings.gateway_public_url, settings.admin_token)
    return Composer(ZoneInfo(settings.alert_timezone), settings.alert_language, links)
