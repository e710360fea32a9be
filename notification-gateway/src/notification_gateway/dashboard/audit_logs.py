"""The audit logs of the services, merged by time for one page."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import StringConstraints, ValidationError

from contracts.audit import AuditEntry, AuditLogPage
from contracts.query_values import MAX_WHOLE_NUMBER
from notification_gateway.dashboard.sources import Source, SourceError
from servicekit.errors import ServiceError

PAGE_ENTRIES = 50
# A filter by token searches so many entries of each log for one page.
SEARCHED_ENTRIES = 1000
READ_SECONDS = 2.0

AuditedService = Literal["model-registry", "feature-sync", "notification-gateway"]
# The last entry that was shown of each service: `model-registry.17,feature-sync.3`.
AuditCursor = Annotated[str, StringConstraints(pattern=r"^([a-z-]{1,30}\.[1-9][0-9]{0,14}(,|$)){0,3}$")]
# Takes a limit and a number; returns entries with smaller numbers, newest first.
ReadEntries = Callable[[int, int], Awaitable[list[AuditEntry]]]


@dataclass(frozen=True)
class AuditFilter:
    """Whose entries are wanted; an empty text is not a condition."""

    service: AuditedService | Literal[""] = ""
    token: str = ""


@dataclass(frozen=True)
class MergedEntries:
    """Entries of several services, newest first; `older` is the cursor of the next page, None at the end."""

    entries: Sequence[AuditEntry]
    older: str | None


@dataclass(frozen=True)
class AuditLogView:
    """What one page shows: the entries, and why the logs of some services are missing."""

    wanted: AuditFilter
    services: Sequence[str]
    merged: MergedEntries
    missing: Mapping[str, str]


class AuditLogs:
    """Reads the logs at the same time, each for at most `READ_SECONDS`."""

    def __init__(self, logs: Mapping[AuditedService, ReadEntries]) -> None:
        self._logs = logs

    async def read(self, wanted: AuditFilter, cursor: AuditCursor = "") -> AuditLogView:
        """Return the entries after the cursor. A log that can't be read is named, and read again from the next page."""
        limit = SEARCHED_ENTRIES if wanted.token else PAGE_ENTRIES + 1
        before = _parse_cursor(cursor)
        reads = {
            service: asyncio.ensure_future(read(limit, before.get(service, MAX_WHOLE_NUMBER)))
            for service, read in self._logs.items()
            if wanted.service in ("", service)
        }
        if reads:
            await asyncio.wait(reads.values(), timeout=READ_SECONDS)
        logs: dict[str, list[AuditEntry]] = {}
        missing: dict[str, str] = {}
        for service, reading in reads.items():
            try:
                logs[service] = _result(reading)
            except (SourceError, ServiceError) as error:
                missing[service] = str(error)
        merged = merge_logs(logs, limit, wanted.token, before)
        return AuditLogView(wanted, list(self._logs), merged, missing)


def merge_logs(
    logs: Mapping[str, Sequence[AuditEntry]], limit: int, token: str, before: Mapping[str, int]
) -> MergedEntries:
    """Merge by time up to a page; `limit` entries of a log mean that it may have more.

    Each log keeps its own order, that of its numbers. So entries of the same time are neither lost nor repeated.
    """
    found: list[AuditEntry] = []
    last = dict(before)
    unread = {service: len(entries) for service, entries in logs.items()}
    streams = [[(service, entry) for entry in entries] for service, entries in logs.items()]
    for service, entry in heapq.merge(*streams, key=lambda each: each[1].at, reverse=True):
        if len(found) == PAGE_ENTRIES:
            return MergedEntries(found, _format_cursor(last))
        last[service] = entry.id
        unread[service] -= 1
        if token in ("", entry.token):
            found.append(entry)
        if not unread[service] and len(logs[service]) >= limit:
            # Its next entry may be newer than those of the other logs.
            return MergedEntries(found, _format_cursor(last))
    return MergedEntries(found, None)


def remote_log(source: Source) -> ReadEntries:
    """Return what reads the log of another service; it raises `SourceError`."""

    async def read(limit: int, before: int) -> list[AuditEntry]:
        return await asyncio.to_thread(_read_remote, source, limit, before)

    return read


def _read_remote(source: Source, limit: int, before: int) -> list[AuditEntry]:
    try:
        return AuditLogPage.model_validate(source.get_json("/audit", limit=limit, before=before)).entries
    except ValidationError as error:
        raise SourceError("not an audit log") from error


def _result(reading: "asyncio.Future[list[AuditEntry]]") -> list[AuditEntry]:
    if not reading.done():
        reading.cancel()
        raise SourceError(f"no answer within {READ_SECONDS:g} s")
    return reading.result()


def _parse_cursor(cursor: AuditCursor) -> dict[str, int]:
    parts = [each.partition(".") for each in cursor.split(",") if each]
    return {service: int(number) for service, _, number in parts}


def _format_cursor(last: Mapping[str, int]) -> str:
    return ",".join(f"{service}.{number}" for service, number in last.items())
