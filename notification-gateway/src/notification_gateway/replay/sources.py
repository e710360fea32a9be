"""The sources of signals for `alertctl replay`: a running gateway, or its database."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import httpx
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from contracts.command_line import UNREACHABLE, USAGE, CommandError
from notification_gateway.gateway_client import GatewayClient
from notification_gateway.replay.endpoints import MAX_PAGE, SignalPage
from notification_gateway.replay.stored_signals import StoredSignal, read_all
from notification_gateway.storage import Storage
from notification_gateway.tables import SCHEMA

TIMEOUT = httpx.Timeout(60.0, connect=5.0)


def from_gateway(url: str, token: str, since: datetime) -> Iterator[StoredSignal]:
    """Yield the signals of a running gateway; raises `CommandError`."""
    with GatewayClient.with_token(url, token, TIMEOUT) as gateway:
        after: str | None = None
        while True:
            parameters = {"since": since.isoformat(), "limit": str(MAX_PAGE)} | ({"after": after} if after else {})
            page = gateway.call("GET", "/signals", SignalPage, params=parameters)
            yield from page.signals
            if page.next_after is None:
                return
            after = page.next_after


def from_database(url: str, since: datetime) -> Iterator[StoredSignal]:
    """Yield the signals of a gateway's database, read-only; raises `CommandError`."""
    try:
        target = make_url(url)
    except ArgumentError as error:
        raise CommandError(USAGE, "DATABASE_URL is not a database URL") from error
    if target.get_backend_name() == "sqlite" and not Path(f"{target.database}.{SCHEMA}").is_file():
        raise CommandError(USAGE, f"DATABASE_URL: there is no file {target.database}.{SCHEMA}")
    try:
        with closing(Storage(url)) as storage:
            yield from read_all(storage, since)
    except ValueError as error:
        raise CommandError(USAGE, f"DATABASE_URL: {error}") from error
    except SQLAlchemyError as error:
        raise CommandError(UNREACHABLE, f"the database can't be read: {type(error).__name__}") from error
