"""POST /webhooks/sentry: hooks of a Sentry server's internal integration, signed with its client secret."""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Header, Request
from pydantic import SecretStr, ValidationError
from starlette.concurrency import run_in_threadpool

from contracts import bounded_json
from contracts.query_values import parse_whole_number
from contracts.signals import AlertSignal
from contracts.text import repair_text
from notification_gateway.metrics import UNSTORABLE, Metrics
from notification_gateway.signals.intake import Intake
from notification_gateway.unreadable import first_problem, report_unreadable
from notification_gateway.webhooks.receipts import HookReceipt
from notification_gateway.webhooks.replays import ReplayedError, reject_replay
from notification_gateway.webhooks.sentry_hooks import UnknownResourceError, signal_of
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import LenientRouter

SOURCE = "sentry"
MAX_AGE = timedelta(minutes=5)
MAX_NAME_CHARS = 64
MAX_DETAIL_CHARS = 1000


# Read as bytes: the signature covers them.
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "object", "description": "A hook as Sentry documents it for its resource"},
            "example": {
                "action": "triggered",
                "data": {"event": {"event_id": "0123456789abcdef0123456789abcdef", "title": "TimeoutError"}},
            },
        }
    },
}


class UnreadableHookError(ValueError):
    """A signed hook with an invalid body; `field` names the kind of error in the metrics."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


def is_signed(secret: SecretStr, body: bytes, signature: str) -> bool:
    """Say whether the signature is the hex HMAC-SHA256 of the raw body with the secret."""
    expected = hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())


def is_recent(sent_at: str, now: datetime) -> bool:
    """Say whether a timestamp in Unix seconds is within `MAX_AGE` of now."""
    try:
        return abs(now.timestamp() - parse_whole_number(sent_at)) <= MAX_AGE.total_seconds()
    except ValueError:
        return False


def router(
    intake: Intake, secret: SecretStr, environment: str, clock: Callable[[], datetime], metrics: Metrics
) -> LenientRouter:
    """Return the route; `environment` is the default of hooks that name none."""
    routes = LenientRouter(tags=["webhooks"])

    def reject(resource: str, field: str, problem: str) -> ProblemError:
        report_rejected(resource, field, problem)
        return ProblemError(422, repair_text(f"body: {problem}", MAX_DETAIL_CHARS))

    def report_rejected(resource: str, field: str, problem: str) -> None:
        # Sentry doesn't send it again, so people are notified that a hook was lost.
        metrics.rejected.labels(SOURCE, field).inc()
        report_unreadable(f"{SOURCE} {_name(resource)}", f"a hook can't be read: {problem}")

    @routes.post(
        "/webhooks/sentry",
        status_code=202,
        responses=problem_responses(
            503,
            unauthorized="The signature or the timestamp is missing or wrong",
            conflict="This hook was accepted before",
        ),
        openapi_extra={"requestBody": _BODY},
    )
    async def post_sentry(
        request: Request,
        signature: Annotated[
            str, Header(alias="Sentry-Hook-Signature", description="Hex HMAC-SHA256 of the body")
        ] = "",
        resource: Annotated[
            str,
            Header(
                alias="Sentry-Hook-Resource", description="event_alert, issue or metric_alert; others are not alerts"
            ),
        ] = "",
        sent_at: Annotated[
            str, Header(alias="Sentry-Hook-Timestamp", description="Unix seconds, at most five minutes from now")
        ] = "",
    ) -> HookReceipt:
        """Accept a hook of a Sentry server's internal integration.

        Each hook is accepted once: the same body again is rejected with 409, whatever its unsigned timestamp.
        If a hook could not be stored (503), it may be sent again.
        An unreadable hook, or one of an unknown resource, becomes an alert of `gateway.unreadable_alert`.
        """
        body = await request.body()
        now = clock()
        if not is_signed(secret, body, signature):
            raise ProblemError(401, "Sentry-Hook-Signature: not the signature of this body with SENTRY_WEBHOOK_SECRET.")
        if not is_recent(sent_at, now):
            raise ProblemError(401, "Sentry-Hook-Timestamp: missing, or more than five minutes from now.")
        try:
            signal, unknown = _read_hook(resource, body, environment, now)
        except UnreadableHookError as error:
            # Sentry shows the rejection to its administrator.
            raise reject(resource, error.field, str(error)) from error
        try:
            signals = [] if signal is None else [signal]
            receipt = await run_in_threadpool(intake.accept, signals, reject_replay(signature, now))
        except ReplayedError as error:
            raise ProblemError(
                409, "Sentry-Hook-Signature: this hook was accepted before; it changes nothing."
            ) from error
        if unknown:
            report_rejected(resource, "resource", unknown)
        if receipt.rejected:
            raise reject(resource, UNSTORABLE, receipt.rejected[0].reason)
        return HookReceipt(accepted=receipt.accepted, duplicates=receipt.duplicates)

    return routes


def _read_hook(resource: str, body: bytes, environment: str, now: datetime) -> tuple[AlertSignal | None, str]:
    """Return the signal of a hook, or None, and the problem of an unknown resource, or an empty text."""
    try:
        return signal_of(resource, bounded_json.loads(body), body, environment, now), ""
    except UnknownResourceError as error:
        return None, str(error)
    except ValidationError as error:
        raise UnreadableHookError("shape", f"not a {_name(resource)} hook: {first_problem(error)}") from error
    except bounded_json.JsonError as error:
        raise UnreadableHookError("json", str(error)) from error


def _name(resource: str) -> str:
    return repair_text(resource, MAX_NAME_CHARS) if resource else "Sentry"
