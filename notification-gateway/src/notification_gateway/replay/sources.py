"""Where `alertctl replay` gets the signals from: a running gateway, or its database."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from contracts.access import check_http_url, check_token
from contracts.command_line import REFUSED, UNREACHABLE, USAGE, CommandError
from contracts.json_answers import UnusableAnswerError, problem_detail, read_answer
from notification_gateway.replay.endpoints import MAX_PAGE, SignalPage
from notification_gateway.replay.stored_signals import StoredSignal, read_all
from notification_gateway.storage import Storage
from notification_gateway.tables import SCHEMA

TIMEOUT = httpx.Timeout(60.0, connect=5.0)


def from_gateway(url: str, token: str, since: datetime) -> Iterator[StoredSignal]:
    """Yield the signals of a running gateway; raises `CommandError`."""
    try:
        check_http_url(url)
        check_token(token)
        client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT)
    except (httpx.InvalidURL, ValueError, OSError) as error:
        raise CommandError(USAGE, f"GATEWAY_URL or ADMIN_TOKEN can't be used: {error}") from error
    with client:
        after: str | None = None
        while True:
            page = _fetch(client, since, after)
            yield from page.signals
            if page.next_after is None:
                return
            after = page.next_after


def _fetch(client: httpx.Client, since: datetime, after: str | None) -> SignalPage:
    asked: dict[str, Any] = {"since": since.isoformat(), "limit": MAX_PAGE} | ({"after": after} if after else {})
    try:
        response = client.get("/signals", params=asked)
        if not response.is_success:
            code = UNREACHABLE if response.is_server_error else REFUSED
            raise CommandError(code, f"{client.base_url} answered {response.status_code}: {problem_detail(response)}")
        return read_answer(response, SignalPage)
    except httpx.RequestError as error:
        reason = error or type(error).__name__
        raise CommandError(UNREACHABLE, f"{client.base_url} can't be reached: {reason}") from error
    except UnusableAnswerError as error:
        raise CommandError(UNREACHABLE, str(error)) from error


def from_database(url: str, since: datetime) -> Iterator[StoredSignal]:
    """Yield the signals of a gateway's database, which is only read; raises `CommandError`."""
    try:
        target = make_url(url)
    except ArgumentError as error:
        raise CommandError(USAGE, "DATABASE_URL is no address of a database") from error
    if target.get_backend_name() == "sqlite" and not Path(f"{target.database}.{SCHEMA}").is_file():
        raise CommandError(USAGE, f"DATABASE_URL: there is no file {target.database}.{SCHEMA}")
    try:
        with closing(Storage(url)) as storage:
            yield from read_all(storage, since)
    except ValueError as error:
        raise CommandError(USAGE, f"DATABASE_URL: {error}") from error
    except SQLAlchemyError as error:
        raise CommandError(UNREACHABLE, f"the database can't be read: {type(error).__name__}") from error
