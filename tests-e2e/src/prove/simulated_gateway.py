"""A gateway on a simulated clock, whose steps a proof triggers, and an observer that reports nothing."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from notification_gateway.gateway import Gateway
from notification_gateway.own_signals import OwnSignals
from notification_gateway.settings import Settings

POLICY = Path(__file__).parents[3] / "deploy" / "alerts.yaml"


def open_gateway(folder: Path, clock: Callable[[], datetime]) -> Gateway:
    """Return a gateway with the default policy; its database is in a folder and migrated."""
    settings = Settings(database_url=SecretStr(f"sqlite:///{folder}/gateway.db"), alert_policy=POLICY)
    gateway = Gateway(settings, OwnSignals(), clock)
    gateway.policy_file.load()
    gateway.storage.migrate()
    return gateway


class SilentObserver:
    """Replaces the observer of monitoring and metrics."""

    def on_delivered(self, claimed: object, seconds: float) -> None:
        """Report nothing."""

    def on_partly_delivered(self, claimed: object, outcome: object, seconds: float) -> None:
        """Report nothing."""

    def on_failed(self, claimed: object, outcome: object) -> None:
        """Report nothing."""
