"""Stores and reads the reports of runs."""

import zlib
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, delete, null, or_, select, update

from contracts.run_reports import RunChecks, RunReport
from notification_gateway.storage import upsert
from notification_gateway.tables import run_reports
from notification_gateway.unreadable import report_row

REPORTS_KEPT = 90
_NEWEST_FIRST = (run_reports.c.posted_at.desc(), run_reports.c.run.desc())
# Without the pages, which are large.
_LISTED = [column for column in run_reports.c if column.name in RunReport.model_fields]


def store_report(connection: Connection, report: RunReport, page: bytes) -> None:
    """Store a report in place of an earlier one of its run, and delete all but the last REPORTS_KEPT."""
    row: dict[str, Any] = {**report.model_dump(exclude={"url"}), "page": zlib.compress(page), "checks": null()}
    statement = upsert(connection, run_reports).values(row)
    changed = {name: statement.excluded[name] for name in row if name != "run"}
    connection.execute(statement.on_conflict_do_update(index_elements=["run"], set_=changed))
    kept = select(run_reports.c.run).order_by(*_NEWEST_FIRST).limit(REPORTS_KEPT)
    connection.execute(delete(run_reports).where(run_reports.c.run.not_in(kept)))


def store_checks(connection: Connection, run: str, checks: RunChecks) -> bool:
    """Store the checks of a run that has a report; returns whether it has one."""
    statement = update(run_reports).where(run_reports.c.run == run).values(checks=checks.model_dump())
    return connection.execute(statement).rowcount > 0


def last_checks(connection: Connection, runs: int) -> list[tuple[str, RunChecks]]:
    """Return the checks of the last runs that have some, oldest first."""
    statement = select(run_reports.c.run, run_reports.c.checks).where(run_reports.c.checks.is_not(None))
    found = []
    for row in connection.execute(statement.order_by(*_NEWEST_FIRST).limit(runs)):
        try:
            found.append((row.run, RunChecks.model_validate(row.checks)))
        except ValidationError as error:
            report_row(run_reports.name, row.run, error)
    return found[::-1]


def page_of(connection: Connection, run: str) -> bytes | None:
    """Return the page of a run, None if none is stored."""
    page: bytes | None = connection.scalar(select(run_reports.c.page).where(run_reports.c.run == run))
    return None if page is None else zlib.decompress(page)


def list_reports(connection: Connection) -> Sequence[RunReport]:
    """Return the stored reports, newest first."""
    rows = connection.execute(select(*_LISTED).order_by(*_NEWEST_FIRST)).mappings()
    return [RunReport.model_validate(dict(row)) for row in rows]


def find_report(connection: Connection, run_id: str) -> RunReport | None:
    """Return the newest report of the run that alerts call `run_id`."""
    wanted = or_(run_reports.c.run_id == run_id, run_reports.c.run == run_id)
    row = connection.execute(select(*_LISTED).where(wanted).order_by(*_NEWEST_FIRST).limit(1)).mappings().first()
    return None if row is None else RunReport.model_validate(dict(row))
