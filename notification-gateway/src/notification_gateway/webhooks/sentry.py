"""POST /webhooks/sentry: an internal integration of a Sentry server, signed with its client secret."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import NAMESPACE_OID, uuid5

from fastapi import Header, Request
from pydantic import SecretStr, ValidationError
from starlette.concurrency import run_in_threadpool

from contracts import bounded_json
from contracts.query_values import parse_whole_number
from contracts.signals import AlertSignal, Level, SignalReceipt
from notification_gateway.signals.intake import Intake
from notification_gateway.webhooks.replays import ReplayedError, once
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import LenientRouter

POINT = "sentry.alert"
MAX_AGE = timedelta(minutes=5)
MAX_MESSAGE = 2000
_LEVELS: Mapping[str, Level] = {
    "fatal": "fatal",
    "error": "error",
    "critical": "error",
    "warning": "warning",
    "info": "info",
    "debug": "debug",
}
_ENDED = frozenset({"resolved", "ignored", "archived"})


def is_signed(secret: SecretStr, body: bytes, signature: str) -> bool:
    """Say whether the body was signed with the secret: the hex HMAC-SHA256 of the bytes as they came."""
    expected = hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())


def signal_of(
    resource: str, payload: Mapping[str, Any], body: bytes, environment: str, now: datetime
) -> AlertSignal | None:
    """Return the signal of a hook, or None for one that alerts nobody; raises `KeyError`, `TypeError`, `ValueError`."""
    data, action = payload["data"], str(payload.get("action", ""))
    if resource == "event_alert":
        return _of_event(data["event"], str(data.get("triggered_rule", "")), environment, now)
    # The same hook sent again is the same signal.
    signal_id = hashlib.sha256(body).hexdigest()
    if resource == "issue" and action in {"created", "unresolved", *_ENDED}:
        issue = data["issue"]
        return _signal(
            signal_id,
            fingerprint=["sentry", "issue", str(issue["id"])],
            level=_LEVELS.get(str(issue.get("level")), "error"),
            ended=action in _ENDED,
            service=str(issue["project"]["slug"]),
            environment=environment,
            message=str(issue["title"]),
            url=str(issue.get("web_url", "")),
            now=now,
        )
    if resource == "metric_alert" and action in {"critical", "warning", "resolved"}:
        alert = data["metric_alert"]
        return _signal(
            signal_id,
            fingerprint=["sentry", "metric_alert", str(alert["id"])],
            level=_LEVELS.get(action, "error"),
            ended=action == "resolved",
            service=str((alert.get("projects") or ["sentry"])[0]),
            environment=environment,
            message=str(data.get("description_title") or alert.get("title") or "metric alert"),
            url=str(data.get("web_url", "")),
            now=now,
        )
    return None


def _of_event(event: Mapping[str, Any], rule: str, environment: str, now: datetime) -> AlertSignal:
    tags = {str(name): str(value) for name, value in event.get("tags") or []}
    event_id = str(event["event_id"])
    fingerprint = [str(part) for part in event.get("fingerprint") or []]
    if not fingerprint or fingerprint == ["{{ default }}"]:
        fingerprint = ["sentry", "event", str(event.get("issue_id", "unknown"))]
    signal = _signal(
        # What monitoring sends for the same event is the same signal.
        uuid5(NAMESPACE_OID, event_id).hex,
        fingerprint=fingerprint,
        level=_LEVELS.get(str(event.get("level")), "error"),
        ended=False,
        service=tags.get("service", "sentry"),
        environment=tags.get("environment", environment),
        message=str(event.get("title") or rule or "event alert"),
        url=str(event.get("web_url", "")),
        now=now,
    )
    known = tags.get("monitoring_point")
    if known is None:
        return signal.model_copy(update={"event_id": event_id, "tags": signal.tags | tags})
    return signal.model_copy(
        update={
            "event_id": event_id,
            "monitoring_point": known[:128],
            "category": known.partition(".")[0][:64],
            "tags": signal.tags | tags,
        }
    )


def _signal(
    signal_id: str,
    *,
    fingerprint: list[str],
    level: Level,
    ended: bool,
    service: str,
    environment: str,
    message: str,
    url: str,
    now: datetime,
) -> AlertSignal:
    return AlertSignal(
        signal_id=signal_id,
        kind="recovered" if ended else "fired",
        monitoring_point=POINT,
        fingerprint=fingerprint[:16],
        level=level,
        category="sentry",
        service=service[:64],
        environment=environment[:64],
        message=message[:MAX_MESSAGE],
        first_seen=now,
        last_seen=now,
        tags={"url": url} if url else {},
    )


def router(intake: Intake, secret: SecretStr, environment: str, clock: Callable[[], datetime]) -> LenientRouter:
    """Return the route; `environment` is that of hooks that name none."""
    routes = LenientRouter(tags=["webhooks"])

    @routes.post("/webhooks/sentry", status_code=202, responses=problem_responses(401, 409, 413, 503))
    async def post_sentry(
        request: Request,
        signature: Annotated[
            str, Header(alias="Sentry-Hook-Signature", description="Hex HMAC-SHA256 of the body")
        ] = "",
        resource: Annotated[
            str, Header(alias="Sentry-Hook-Resource", description="event_alert, issue or metric_alert; others pass")
        ] = "",
        sent_at: Annotated[
            str, Header(alias="Sentry-Hook-Timestamp", description="Unix seconds; older than five minutes is refused")
        ] = "",
    ) -> SignalReceipt:
        """Take the hooks of a Sentry server's internal integration.

        Each is taken once: the same body again is refused with 409, whatever its timestamp, which Sentry does not sign.
        A hook that could not be stored was not taken, and may be sent again; one whose answer was lost was.
        """
        body = await request.body()
        now = clock()
        if not is_signed(secret, body, signature):
            raise ProblemError(401, "Sentry-Hook-Signature: not the signature of this body with SENTRY_WEBHOOK_SECRET.")
        if not _is_recent(sent_at, now):
            raise ProblemError(401, "Sentry-Hook-Timestamp: missing, or more than five minutes from now.")
        try:
            signal = signal_of(resource, bounded_json.loads(body), body, environment, now)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = "the payload" if isinstance(error, ValidationError) else str(error)
            raise ProblemError(
                422, f"body: not a {resource or 'Sentry'} hook ({type(error).__name__}: {what})"
            ) from error
        try:
            return await run_in_threadpool(intake.accept, [] if signal is None else [signal], once(signature, now))
        except ReplayedError as error:
            raise ProblemError(409, "Sentry-Hook-Signature: this hook was taken before; it changes nothing.") from error

    return routes


def _is_recent(sent_at: str, now: datetime) -> bool:
    try:
        return abs(now.timestamp() - parse_whole_number(sent_at)) <= MAX_AGE.total_seconds()
    except ValueError:
        return False
