"""POST /webhooks/alertmanager: the payload of Alertmanager's webhook receiver (version 4, or a compatible one)."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, SkipValidation
from starlette.exceptions import HTTPException

from contracts.signals import AlertSignal, SignalReceipt
from contracts.text import repair_text
from notification_gateway.metrics import UNSTORABLE, Metrics
from notification_gateway.signals.intake import Intake
from notification_gateway.unreadable import describe_problem, report_unreadable
from notification_gateway.webhooks.managed_alerts import ManagedAlert, UnreadableAlert, read_alerts
from notification_gateway.webhooks.receipts import AlertmanagerReceipt
from servicekit.bearer import Access
from servicekit.bodies import MIB
from servicekit.problems import problem_responses
from servicekit.routing import Handler, LenientRoute

SOURCE = "alertmanager"
MAX_NAME_CHARS = 200
MAX_TRUNCATED = 2**31
# Alertmanager sends all the alerts of a group in one body.
MAX_BODY_BYTES = 16 * MIB


class AlertmanagerPayload(BaseModel):
    """The body that Alertmanager posts; other fields are ignored.

    Alertmanager doesn't repeat a rejected body, so any JSON object is accepted, and unreadable parts are reported.
    """

    alerts: Annotated[SkipValidation[list[ManagedAlert] | None], Field(description="Each is read by itself")] = None
    truncated_alerts: Annotated[
        Any,
        Field(
            alias="truncatedAlerts", description="How many alerts Alertmanager left out, by its setting `max_alerts`"
        ),
    ] = 0
    receiver: Annotated[Any, Field(description="Named in reports of unreadable alerts")] = ""
    group_key: Annotated[Any, Field(alias="groupKey", description="Named in reports of unreadable alerts")] = ""

    def truncated(self) -> int:
        """Return how many alerts were left out; an invalid count means at least one."""
        if isinstance(self.truncated_alerts, int):
            return min(max(int(self.truncated_alerts), 0), MAX_TRUNCATED)
        return 1 if self.truncated_alerts else 0


def router(
    intake: Intake, access: Access, environment: str, clock: Callable[[], datetime], metrics: Metrics
) -> APIRouter:
    """Return the route; `environment` is the default of alerts without such a label."""
    routes = APIRouter(tags=["webhooks"], route_class=_reporting_route(metrics))

    @routes.post(
        "/webhooks/alertmanager",
        status_code=202,
        dependencies=access.allow("signals"),
        responses=problem_responses(503),
        max_body_size=MAX_BODY_BYTES,
    )
    def post_alertmanager(payload: AlertmanagerPayload) -> AlertmanagerReceipt:
        """Accept the alerts of a Prometheus Alertmanager (`webhook_configs`, with `http_config.authorization`).

        Each alert is read by itself, and their number is not limited. Unreadable alerts, and those that Alertmanager
        left out, become one alert of the point `gateway.unreadable_alert`.
        """
        values: object = payload.alerts
        # A body without a list counts as one unreadable alert.
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
    """Return a route class that reports unreadable bodies, since Alertmanager does not send them again."""

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
    parts = []
    if unreadable or receipt.rejected:
        first = (
            f"alerts.{unreadable[0].position}: {unreadable[0].problem}" if unreadable else receipt.rejected[0].reason
        )
        lost = len(unreadable) + len(receipt.rejected)
        parts.append(f"{lost} of {len(alerts)} alerts can't be read (first: {first})")
    if payload.truncated():
        parts.append(f"Alertmanager left out {payload.truncated()} (truncatedAlerts)")
    return f"{'; '.join(parts)}; receiver {_name(payload.receiver)}, group {_name(payload.group_key)}"


def _name(value: object) -> str:
    return repair_text(value, MAX_NAME_CHARS) if isinstance(value, str) and value else "without a name"
