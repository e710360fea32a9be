"""Builds the dashboard: its page and the sources that the page queries."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from notification_gateway.dashboard.audit_logs import AuditedService, ReadEntries, remote_log
from notification_gateway.dashboard.page import Page
from notification_gateway.dashboard.panels import Panels
from notification_gateway.dashboard.sources import Prometheus, Registry, Source
from notification_gateway.messages.links import Links
from notification_gateway.settings import Settings
from notification_gateway.summaries.closing import Summaries


class Dashboard:
    """Connects to Prometheus, the registry and feature-sync at the first request for a page."""

    def __init__(self, settings: Settings, summaries: Summaries, links: Links, clock: Callable[[], datetime]) -> None:
        self._prometheus = Source(settings.prometheus_url, clock)
        self._registry = Source(settings.registry_url, clock, settings.registry_read_token)
        self._feature_sync = Source(settings.feature_sync_url, clock, settings.admin_token)
        panels = Panels(Prometheus(self._prometheus), Registry(self._registry, settings.model_name), summaries)
        self.page = Page(panels, ZoneInfo(settings.alert_timezone), links)

    @property
    def audit_logs(self) -> dict[AuditedService, ReadEntries]:
        """The audit logs of the other services whose addresses are set."""
        sources: dict[AuditedService, Source] = {
            "model-registry": self._registry,
            "feature-sync": self._feature_sync,
        }
        return {service: remote_log(source) for service, source in sources.items() if source.configured}

    def close(self) -> None:
        """Close the connections."""
        self._prometheus.close()
        self._registry.close()
        self._feature_sync.close()
