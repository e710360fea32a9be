"""POST /webhooks/alertmanager: the payload of its webhook receiver, of version 4 or another that reads alike."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, SecretStr, SkipValidation
from starlette.exceptions import HTTPException

from contracts.signals import AlertSignal, SignalReceipt
from contracts.text import repair_text
from notification_gateway.metrics import UNSTORABLE, Metrics
from notification_gateway.signals.intake import Intake
from notification_gateway.unreadable import describe_problem, report_unreadable
from notification_gateway.webhooks.managed_alerts import ManagedAlert, UnreadableAlert, read_alerts
from notification_gateway.webhooks.receipts import AlertmanagerReceipt
from servicekit.bearer import bearer_guard
from servicekit.bodies import MIB
from servicekit.problems import problem_responses
from servicekit.routing import Handler, LenientRoute

SOURCE = "alertmanager"
MAX_NAME_CHARS = 200
MAX_TRUNCATED = 2**31
# Alertmanager sends all the alerts of a group in one body.
MAX_BODY_BYTES = 16 * MIB


class AlertmanagerPayload(BaseModel):
    """What Alertmanager posts; fields that are not named here are left alone.

    It doesn't repeat what is refused, so any JSON object is taken: what of it can't be read is told to people.
    """

    alerts: Annotated[SkipValidation[list[ManagedAlert] | None], Field(description="Each is read by itself")] = None
    truncated_alerts: Annotated[
        Any, Field(alias="truncatedAlerts", description="How many alerts are missing, past `max_alerts`")
    ] = 0
    receiver: Annotated[Any, Field(description="Named in what people are told")] = ""
    group_key: Annotated[Any, Field(alias="groupKey", description="Named in what people are told")] = ""

    def truncated(self) -> int:
        """Return how many alerts are missing; a count that is none is at least one."""
        if isinstance(self.truncated_alerts, int):
            return min(max(int(self.truncated_alerts), 0), MAX_TRUNCATED)
        return 1 if self.truncated_alerts else 0


def router(
    intake: Intake, token: SecretStr, environment: str, clock: Callable[[], datetime], metrics: Metrics
) -> APIRouter:
    """Return the route; `environment` is that of alerts without such a label."""
    routes = APIRouter(tags=["webhooks"], route_class=_reporting_route(metrics))

    @routes.post(
        "/webhooks/alertmanager",
        status_code=202,
        dependencies=bearer_guard(token),
        responses=problem_responses(503),
        max_body_size=MAX_BODY_BYTES,
    )
    def post_alertmanager(payload: AlertmanagerPayload) -> AlertmanagerReceipt:
        """Take the alerts of a Prometheus Alertmanager (`webhook_configs`, with `http_config.authorization`).

        Any number of alerts is taken, each by itself. Those that can't be read, and those that Alertmanager left out,
        become one alert of the point `gateway.unreadable_alert`.
        """
        values: object = payload.alerts
        # A body without a list holds at least one alert that nobody could read.
        alerts = read_alerts(values if isinstance(values, list) else [values], environment, clock())
        unreadable = [each for each in alerts if isinstance(each, UnreadableAlert)]
        receipt = intake.accept([each for each in alerts if isinstance(each, AlertSignal)])
        _count(metrics, unreadable, receipt, payload.truncated())
        if unreadable or receipt.rejected or payload.truncated():
            report_unreadable(f"{SOURCE} {_name(payload.receiver)}", _describe(payload, alerts, unreadable, receipt))
        return AlertmanagerReceipt(
            accepted=receipt.accepted,
            duplicates=receipt.duplicates,
            unreadable=len(unreadable) + len(receipt.rejected),
            truncated=payload.truncated(),
        )

    return routes


def _reporting_route(metrics: Metrics) -> type[LenientRoute]:
    """Return a route that reports a body that can't be read: Alertmanager does not send it again."""

    class ReportingRoute(LenientRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def report_rejected(request: Request) -> Response:
                try:
                    return await handle(request)
                except (RequestValidationError, HTTPException) as error:
                    if isinstance(error, RequestValidationError):
                        problem = describe_problem(error.errors()[0])
                    else:
                        problem = str(error.detail)
                    metrics.rejected.labels(SOURCE, "body").inc()
                    report_unreadable(SOURCE, f"a whole webhook can't be read: {problem}")
                    raise

            return report_rejected

    return ReportingRoute


def _count(metrics: Metrics, unreadable: Sequence[UnreadableAlert], receipt: SignalReceipt, truncated: int) -> None:
    for each in unreadable:
        metrics.rejected.labels(SOURCE, each.field).inc()
    metrics.rejected.labels(SOURCE, UNSTORABLE).inc(len(receipt.rejected))
    metrics.rejected.labels(SOURCE, "truncatedAlerts").inc(truncated)


def _describe(
    payload: AlertmanagerPayload,
    alerts: Sequence[object],
    unreadable: Sequence[UnreadableAlert],
    receipt: SignalReceipt,
) -> str:
    said = []
    if unreadable or receipt.rejected:
        first = (
            f"alerts.{unreadable[0].position}: {unreadable[0].problem}" if unreadable else receipt.rejected[0].reason
        )
        lost = len(unreadable) + len(receipt.rejected)
        said.append(f"{lost} of {len(alerts)} alerts can't be read (first: {first})")
    if payload.truncated():
        said.append(f"Alertmanager left out {payload.truncated()} (truncatedAlerts)")
    return f"{'; '.join(said)}; receiver {_name(payload.receiver)}, group {_name(payload.group_key)}"


def _name(value: object) -> str:
    return repair_text(value, MAX_NAME_CHARS) if isinstance(value, str) and value else "without a name"
