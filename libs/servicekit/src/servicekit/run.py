"""The entry point of a service process: settings, logs, monitoring, application, server."""

import gc
import logging
import socket
import sys
from collections.abc import Callable
from typing import TypeVar

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

import monitoring
from monitoring.signals import SignalSink
from servicekit import logs
from servicekit.http_protocol import HttpProtocol
from servicekit.settings import ServiceSettings

_log = logging.getLogger(__name__)
SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


class StartRefusedError(Exception):
    """A file of the service can't be used; the message names the line and is logged as it is."""


# Longer than any request's budget, shorter than a container's stop grace period.
DRAIN_SECONDS = 8
BACKLOG = 2048


def run(
    service: str,
    settings_class: type[SettingsT],
    create_app: Callable[[SettingsT], FastAPI],
    *,
    signal_sink: SignalSink | None = None,
) -> int:
    """Run a service until it is stopped; returns the exit code: 2 for bad settings or files, 1 for a failed start.

    `signal_sink` takes the process's own alert signals in place of the gateway.
    """
    try:
        monitoring_settings = monitoring.MonitoringSettings()
    except ValidationError as error:
        sys.stderr.write(_explain(service, error))
        return 2
    try:
        settings = settings_class()
    except ValidationError as error:
        monitoring.init(service, monitoring_settings, signal_sink=signal_sink)
        sys.stderr.write(_explain(service, error))
        return _failed(error, exit_code=2)
    monitoring.init(service, monitoring_settings, secrets=settings.secrets(), signal_sink=signal_sink)
    logs.configure(service, settings.log_level, monitoring.log_redaction())
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        _log.error("%s cannot listen on %s:%s: %s", service, settings.host, settings.port, error)
        return _failed(error, exit_code=1)
    try:
        app = create_app(settings)
    except StartRefusedError as error:
        listener.close()
        _log.error("%s does not start: %s", service, error)
        return _failed(error, exit_code=2)
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = uvicorn.Server(config)
    # For answers that have no end of their own: the server waits for them before it stops.
    app.state.is_stopping = lambda: server.should_exit
    # What was imported and built so far stays. To search it for garbage takes a tenth of a second, in which no request
    # is answered.
    gc.collect()
    gc.freeze()
    with listener:
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _failed(error: Exception, *, exit_code: int) -> int:
    monitoring.report("api.startup_failed", error=error)
    monitoring.flush()
    return exit_code


def _explain(service: str, error: ValidationError) -> str:
    lines = [f"{service}: unusable settings:"]
    for found in error.errors(include_input=False, include_url=False):
        name = "_".join(str(part) for part in found["loc"]).upper() or "settings"
        lines.append(f"  {name}: {found['msg']}")
    return "\n".join(lines) + "\n"
