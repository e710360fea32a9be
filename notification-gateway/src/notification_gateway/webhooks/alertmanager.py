"""POST /webhooks/alertmanager: its version 4 payload."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field, SecretStr

from contracts.signals import AlertSignal, Level, SignalReceipt
from notification_gateway.signals.intake import Intake
from servicekit.bearer import bearer_guard
from servicekit.bodies import MIB
from servicekit.problems import problem_responses
from servicekit.routing import LenientRouter

POINT = "alertmanager.alert"
MAX_MESSAGE = 2000
# Alertmanager sends all the alerts of a group in one body.
MAX_BODY_BYTES = 16 * MIB
_LEVELS: Mapping[str, Level] = {"critical": "error", "page": "error", "error": "error", "info": "info", "none": "info"}


class ManagedAlert(BaseModel):
    """One alert of the payload."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: Annotated[AwareDatetime, Field(alias="startsAt")]
    ends_at: Annotated[AwareDatetime | None, Field(alias="endsAt")] = None
    generator_url: Annotated[str, Field(alias="generatorURL")] = ""
    fingerprint: str = ""


class AlertmanagerPayload(BaseModel):
    """What Alertmanager posts; fields that are not named here are left alone."""

    version: Literal["4"]
    alerts: Annotated[list[ManagedAlert], Field(max_length=1000)]


def signal_of(alert: ManagedAlert, environment: str, now: datetime) -> AlertSignal:
    """Return the signal of an alert; a reminder (the same alert, a minute or more later) is one of its own."""
    name = alert.labels.get("alertname", "unnamed")
    identity = alert.fingerprint or hashlib.sha256(repr(sorted(alert.labels.items())).encode()).hexdigest()[:16]
    occasion = f"{identity} {alert.status} {alert.starts_at.isoformat()} {now:%Y-%m-%dT%H:%M}"
    summary = alert.annotations.get("summary") or alert.annotations.get("description") or name
    ended = alert.status == "resolved"
    last_seen = min(alert.ends_at or now, now) if ended else now
    return AlertSignal(
        signal_id=hashlib.sha256(occasion.encode()).hexdigest(),
        kind="recovered" if ended else "fired",
        monitoring_point=POINT,
        fingerprint=["alertmanager", name, identity],
        level=_LEVELS.get(alert.labels.get("severity", ""), "warning"),
        category="alertmanager",
        service=(alert.labels.get("service") or alert.labels.get("job") or "prometheus")[:64],
        environment=(alert.labels.get("environment") or environment)[:64],
        message=f"{name}: {summary}"[:MAX_MESSAGE],
        first_seen=min(alert.starts_at, last_seen),
        last_seen=last_seen,
        tags=alert.labels | ({"generator_url": alert.generator_url} if alert.generator_url else {}),
    )


def router(intake: Intake, token: SecretStr, environment: str, clock: Callable[[], datetime]) -> LenientRouter:
    """Return the route; `environment` is that of alerts without such a label."""
    routes = LenientRouter(tags=["webhooks"])

    @routes.post(
        "/webhooks/alertmanager",
        status_code=202,
        dependencies=bearer_guard(token),
        responses=problem_responses(401, 503),
        max_body_size=MAX_BODY_BYTES,
    )
    def post_alertmanager(payload: AlertmanagerPayload) -> SignalReceipt:
        """Take the alerts of a Prometheus Alertmanager (`webhook_configs`, with `http_config.authorization`)."""
        now = clock()
        if not payload.alerts:
            return SignalReceipt(accepted=0, duplicates=0)
        return intake.accept([signal_of(alert, environment, now) for alert in payload.alerts])

    return routes
