"""From extracted Parquet to clean Parquet, with the findings."""

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.extract.extract import OUTSIDE_CALENDAR
from pipeline.extract.moments import FIRST, LAST
from pipeline.ordered_rows import write_ordered_rows
from pipeline.quality.activity_checks import activity_findings
from pipeline.quality.calendar_days import rest_days
from pipeline.quality.catalogue_checks import catalogue_findings
from pipeline.quality.checks import Check, dataset_checks, interaction_checks, user_checks
from pipeline.quality.drift import drift_findings
from pipeline.quality.event_log import COUNTS, repeated_purchases_finding, unknown_datasets_finding
from pipeline.quality.findings import Finding, share_finding
from pipeline.quality.profile import Profile, write_profile
from pipeline.quality.profiling import Tables, profile_tables
from pipeline.quality.quarantine import Quarantine
from pipeline.quality.rules import Rules
from pipeline.quality.rules_file import load_rules
from pipeline.quality.time_gap import time_gap_finding
from pipeline.quality.volume import volume_findings
from pipeline.relational import Engine, LocalEngine
from pipeline.sentry_utils import track_data_quality_issue, track_data_quality_ok

REPORT = "report.json"
_MANY_UNKNOWN_USERS = 0.05
_EXAMPLE_CHARS = 60
_log = logging.getLogger(__name__)


class _Checking:
    """The findings and rejected rows so far, and the original texts of values outside the calendar."""

    def __init__(self, engine: Engine, outside_calendar: dict[str, str]) -> None:
        self.engine = engine
        self._outside_calendar = outside_calendar
        self.findings: list[Finding] = []
        self.quarantine = Quarantine()

    def apply(self, name: str, table: pa.Table, checks: list[Check]) -> pa.Table:
        """Return the table without the rows that the checks reject."""
        for check in checks:
            refused = check.refuses(table).fill_null(False)
            bad = int(pc.sum(refused).as_py() or 0)
            rows = table.filter(refused) if bad else table.slice(0, 0)
            advice = "" if not bad else check.advice if isinstance(check.advice, str) else check.advice(rows)
            self.findings.append(
                share_finding(
                    check.name,
                    bad,
                    len(table),
                    f"{name} {check.what}",
                    critical_above=check.critical_above,
                    warning_above=check.warning_above,
                    consequence="those values are left out" if check.only_value else "they are left out",
                    example=self._example(name, check.column, rows),
                    advice=advice,
                )
            )
            if bad:
                self.quarantine.add_rows(name, check, rows, advice)
                table = _without(table, refused, check)
        return table

    def _example(self, table: str, column: str | None, rows: pa.Table) -> str:
        if column is None or not len(rows):
            return ""
        value: object = rows[column][0].as_py()
        text = value.isoformat() if isinstance(value, datetime) else repr(value)
        if value in (FIRST, LAST):
            text = self._outside_calendar.get(f"{table}.{column}.{'last' if value == LAST else 'first'}", text)
        return text if len(text) <= _EXAMPLE_CHARS else f"{text[:_EXAMPLE_CHARS]}…"


def _without(table: pa.Table, refused: pa.ChunkedArray, check: Check) -> pa.Table:
    if not check.only_value:
        return table.filter(pc.invert(refused))
    place = table.schema.get_field_index(check.column)
    values = table[check.column]
    emptied = pc.if_else(refused, pa.scalar(None, values.type), values)
    return table.set_column(place, table.schema.field(place), emptied)


def _without_withdrawn(datasets: pa.Table, withdrawn: Collection[int], findings: list[Finding]) -> pa.Table:
    """Leave out datasets that no answer may show; this is intended and not a fault of the data."""
    refused = pc.is_in(datasets["id"], pa.array(withdrawn, datasets["id"].type))
    count = int(pc.sum(refused).as_py() or 0)
    details = f"{count:,} of {len(datasets):,} datasets are withdrawn; they are left out"
    findings.append(Finding("datasets.withdrawn", "info" if count else "ok", details, count, 0))
    return datasets.filter(pc.invert(refused))


def clean(
    extracted: Path,
    folder: Path,
    now: datetime,
    withdrawn: Collection[int] = (),
    *,
    rules: Rules | None = None,
    earlier: Sequence[Profile] = (),
    engine: Engine | None = None,
) -> list[Finding]:
    """Write the rows that pass below `folder`, also in the order of time; return the findings, which are reported.

    `report.json`, `profile.json` and the quarantine of the rows that don't pass are written in any case. Deleted and
    `withdrawn` datasets are left out. `earlier` are the profiles of good runs, in the order of time. Raises `DataError`
    if a finding is critical; then there are no rows for the later steps.
    """
    rules, engine = rules or load_rules(), engine or LocalEngine(folder)
    counts = _read_json(extracted / COUNTS)
    checking = _Checking(engine, _read_json(extracted / OUTSIDE_CALENDAR))
    events_finding = _unknown_events(extracted, counts.get("events", 0))
    tables = _passing(checking, extracted, withdrawn, now, rules)
    profile = profile_tables(tables, now, rules.calendar.time_zone, counts, engine)
    is_rest_day = rest_days(rules.calendar.holidays)
    checked = [
        *checking.findings,
        _empty("datasets", tables.datasets),
        _empty("interactions", tables.interactions),
        _unknown_users(tables.interactions, tables.users),
        *volume_findings(tables.interactions["ts"], rules.interactions, is_rest_day),
        time_gap_finding(tables.interactions["ts"]),
        events_finding,
        repeated_purchases_finding(extracted),
        *catalogue_findings(tables, profile.datasets, rules),
        *activity_findings(tables, profile, earlier, rules.interactions, is_rest_day),
        *drift_findings(profile, earlier, rules.drift),
    ]
    (folder / REPORT).write_text(json.dumps([asdict(each) for each in checked], indent=2), encoding="utf-8")
    write_profile(profile, folder)
    checking.quarantine.write(folder)
    _report(checked)
    for name, table in tables._asdict().items():
        pq.write_table(table, folder / f"{name}.parquet")
    write_ordered_rows(engine, folder)
    return [each for each in checked if each.severity != "ok"]


def _unknown_events(extracted: Path, count: int) -> Finding:
    rows = pq.read_table(extracted / "interactions.parquet", columns=["dataset_id"])
    return unknown_datasets_finding(count, rows, pq.read_table(extracted / "datasets.parquet", columns=["id"])["id"])


def _passing(checking: _Checking, extracted: Path, withdrawn: Collection[int], now: datetime, rules: Rules) -> Tables:
    """Return the rows that pass. No variable holds a table as it was read: 10 million rows have 400 MB."""
    engine = checking.engine
    datasets = checking.apply(
        "datasets", pq.read_table(extracted / "datasets.parquet"), dataset_checks(engine, now, rules.rows)
    )
    datasets = datasets.filter(pc.invert(datasets["is_deleted"].fill_null(False)))
    datasets = _without_withdrawn(datasets, withdrawn, checking.findings)
    users = checking.apply("users", pq.read_table(extracted / "users.parquet"), user_checks(engine, now, rules.rows))
    found = interaction_checks(engine, datasets["id"], now, rules.rows)
    rows = checking.apply("interactions", pq.read_table(extracted / "interactions.parquet"), found)
    return Tables(datasets, users, rows)


def _read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _report(checked: list[Finding]) -> None:
    for finding in checked:
        if finding.severity == "ok":
            track_data_quality_ok(finding.check)
            continue
        _log.warning("%s: %s (%s)", finding.check, finding.details, finding.severity)
        track_data_quality_issue(finding.check, finding.severity, finding.details, finding.value, finding.threshold)
    critical = [finding for finding in checked if finding.severity == "critical"]
    if critical:
        raise DataError("; ".join(f"{finding.check}: {finding.details}" for finding in critical))


def _unknown_users(interactions: pa.Table, users: pa.Table) -> Finding:
    """Count users that only interactions contain; they are kept: a user who signed up today already has some."""
    unknown = int(pc.sum(pc.invert(pc.is_in(interactions["user_id"], users["id"]))).as_py() or 0)
    share = unknown / max(1, len(interactions))
    details = f"{unknown:,} of {len(interactions):,} interactions are of users outside the users table; they are kept"
    return Finding(
        "interactions.unknown_user",
        "warning" if share > _MANY_UNKNOWN_USERS else "info" if unknown else "ok",
        details,
        round(share, 6),
        _MANY_UNKNOWN_USERS,
    )


def _empty(name: str, table: pa.Table) -> Finding:
    if len(table):
        return Finding(f"{name}.empty", "ok", f"{len(table):,} {name} are left to train on", len(table), 1)
    return Finding(f"{name}.empty", "critical", f"no {name} are left to train on", 0, 1)
