"""Composition root of notification-gateway."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from notification_gateway.actions import endpoints as actions
from notification_gateway.actions import pages as action_pages
from notification_gateway.actions.service import IncidentNotFoundError, IncidentStateError
from notification_gateway.alerting import endpoints as alerting
from notification_gateway.dashboard import changes as dashboard_changes
from notification_gateway.dashboard import endpoints as dashboard
from notification_gateway.dashboard.audit_logs import AuditLogs
from notification_gateway.dashboard.session import Sessions
from notification_gateway.gateway import Clock, Gateway, utc_now
from notification_gateway.notify import endpoints as notify
from notification_gateway.own_signals import OwnSignals
from notification_gateway.ping import endpoints as ping
from notification_gateway.replay import endpoints as stored_signals
from notification_gateway.reports import endpoints as reports
from notification_gateway.request_index import endpoints as request_index
from notification_gateway.runbooks import endpoints as runbooks
from notification_gateway.runbooks.page import RunbookPage
from notification_gateway.settings import Settings
from notification_gateway.signals import endpoints as signals
from notification_gateway.silences import endpoints as silences
from notification_gateway.storage import UnstorableError
from notification_gateway.summaries import endpoints as summaries
from notification_gateway.tables import SCHEMA
from notification_gateway.webhooks import alertmanager, sentry
from servicekit import audit, operations
from servicekit.app import base_app
from servicekit.audit import AuditLog
from servicekit.bearer import Access
from servicekit.database import open_database
from servicekit.problems import answer

SERVICE: Final = "notification-gateway"
_log = logging.getLogger(__name__)

DESCRIPTION = """Takes alert signals, evaluates them by the alert policy, and notifies the right people: P0 at once by
WeChat Work, P1 in an hourly email, P2 in the daily digest. Every accepted signal is stored before the answer."""


def create_app(settings: Settings, own_signals: OwnSignals | None = None, clock: Clock = utc_now) -> FastAPI:
    """Return the application; its lifespan opens the policy file, the database and the connections."""
    gateway = Gateway(settings, own_signals or OwnSignals(), clock)
    access = Access(gateway.tokens)
    audit_log = AuditLog(open_database(settings.database_url.get_secret_value(), SCHEMA), SCHEMA, SERVICE)
    access.recorder = audit_log
    storage, alerts, delivery, metrics = gateway.storage, gateway.alerts, gateway.delivery, gateway.metrics

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with gateway.running():
            yield
        await audit_log.close()

    app = base_app("recsys-notification-gateway", "Notification gateway", lifespan=lifespan, description=DESCRIPTION)
    app.exception_handler(DBAPIError)(_database_failed)
    app.exception_handler(PoolTimeoutError)(_database_failed)
    app.exception_handler(UnstorableError)(_unstorable)
    app.exception_handler(IncidentNotFoundError)(_not_found)
    app.exception_handler(IncidentStateError)(_conflict)
    app.include_router(signals.router(alerts.intake, access, metrics))
    app.include_router(request_index.router(storage, access, clock, metrics))
    app.include_router(stored_signals.router(storage, access))
    app.include_router(alerting.router(storage))
    app.include_router(actions.router(alerts.actions, storage, access))
    app.include_router(action_pages.router(alerts.actions, gateway.composer.links, clock))
    app.include_router(silences.router(storage, access, clock))
    app.include_router(notify.router(storage, access, clock, delivery.wake, delivery.channels))
    app.include_router(alertmanager.router(alerts.intake, access, settings.environment, clock, metrics))
    app.include_router(
        sentry.router(alerts.intake, settings.sentry_webhook_secret, settings.environment, clock, metrics)
    )
    app.include_router(summaries.router(storage, alerts.summaries, access))
    sessions = Sessions(settings.admin_token, gateway.tokens, audit_log)
    app.include_router(dashboard_changes.router(storage, sessions, alerts.actions, alerts.summaries, clock))
    audit_logs = AuditLogs({SERVICE: audit_log.entries, **gateway.dashboard.audit_logs})
    app.include_router(dashboard.router(storage, gateway.dashboard.page, sessions, audit_logs, clock))
    app.include_router(ping.router(delivery.channels, delivery.observers, access, settings.alert_language, clock))
    app.include_router(runbooks.router(storage, RunbookPage(ZoneInfo(settings.alert_timezone))))
    app.include_router(reports.router(storage, access, gateway.composer.links, clock))
    app.include_router(audit.router(audit_log, access))
    app.include_router(operations.router(SERVICE, lambda: run_in_threadpool(gateway.checks), metrics))
    return app


async def _database_failed(request: Request, error: Exception) -> Response:
    _log.error("the database failed under %s: %s", request.url.path, type(error).__name__)
    detail = "The database does not answer, so nothing was stored. Send it again later."
    return answer(request, 503, detail, headers={"Retry-After": "5"})


async def _unstorable(request: Request, error: Exception) -> Response:
    return answer(request, 422, f"The request {error}. Nothing was stored.")


async def _not_found(request: Request, error: Exception) -> Response:
    return answer(request, 404, str(error))


async def _conflict(request: Request, error: Exception) -> Response:
    return answer(request, 409, str(error))
