"""From extracted Parquet to clean Parquet, and the findings on the way."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.events import InteractionType
from pipeline.errors import DataError
from pipeline.quality.event_log import unknown_datasets_finding
from pipeline.quality.findings import Finding, share_finding
from pipeline.quality.volume import volume_finding
from pipeline.sentry_utils import track_data_quality_issue

_MANY_UNKNOWN_USERS = 0.05
_MAX_SKEW = timedelta(minutes=10)
_TYPES = pa.array([kind.name.lower() for kind in InteractionType])
_log = logging.getLogger(__name__)


class _Check(NamedTuple):
    """Rows that a check refuses: name, what they are, a mask over the table, and the share that stops the run."""

    name: str
    what: str
    refuses: Callable[[pa.Table], pa.ChunkedArray]
    critical_above: float


def clean(extracted: Path, folder: Path, now: datetime) -> list[Finding]:
    """Write the rows that pass below `folder`, with `report.json`, and return what is amiss, each finding reported.

    Raises `DataError` when one is critical.
    """
    datasets = pq.read_table(extracted / "datasets.parquet")
    users = pq.read_table(extracted / "users.parquet")
    interactions = pq.read_table(extracted / "interactions.parquet")
    checked: list[Finding] = []
    checked += filter(None, [unknown_datasets_finding(extracted, interactions, datasets["id"])])
    datasets = _apply("datasets", datasets, _dataset_checks(), checked)
    datasets = datasets.filter(pc.invert(datasets["is_deleted"].fill_null(False)))
    users = _apply("users", users, [_null("users", "id"), _repeated("users", "id")], checked)
    interactions = _apply("interactions", interactions, _interaction_checks(datasets, now), checked)
    checked += filter(None, [_empty("datasets", datasets), _empty("interactions", interactions)])
    checked += filter(None, [_unknown_users(interactions, users), volume_finding(interactions["ts"])])
    for name, table in (("datasets", datasets), ("users", users), ("interactions", interactions)):
        pq.write_table(table, folder / f"{name}.parquet")
    (folder / "report.json").write_text(json.dumps([asdict(each) for each in checked], indent=2), encoding="utf-8")
    _report(checked)
    return [each for each in checked if each.severity != "ok"]


def _report(checked: list[Finding]) -> None:
    for finding in checked:
        if finding.severity == "ok":
            continue
        _log.warning("%s: %s (%s)", finding.check, finding.details, finding.severity)
        track_data_quality_issue(finding.check, finding.severity, finding.details, finding.value, finding.threshold)
    critical = [finding for finding in checked if finding.severity == "critical"]
    if critical:
        raise DataError("; ".join(f"{finding.check}: {finding.details}" for finding in critical))


def _apply(name: str, table: pa.Table, checks: list[_Check], checked: list[Finding]) -> pa.Table:
    for check in checks:
        refused = check.refuses(table)
        bad = int(pc.sum(refused).as_py() or 0)
        finding = share_finding(
            check.name, bad, len(table), f"{name} {check.what}", critical_above=check.critical_above
        )
        checked.append(finding)
        if bad:
            table = table.filter(pc.invert(refused))
    return table


def _dataset_checks() -> list[_Check]:
    return [
        _null("datasets", "id"),
        _null("datasets", "title"),
        _repeated("datasets", "id"),
        _Check(
            "datasets.negative_price", "have a negative price", lambda t: pc.less(t["price"], 0).fill_null(False), 0.05
        ),
    ]


def _interaction_checks(datasets: pa.Table, now: datetime) -> list[_Check]:
    latest = pa.scalar(now + _MAX_SKEW, pa.timestamp("us", tz="UTC"))
    known_datasets = datasets["id"]
    return [
        *(_null("interactions", column) for column in ("user_id", "dataset_id", "type", "ts")),
        _Check(
            "interactions.unknown_type",
            "are of an unknown type",
            lambda t: pc.invert(pc.is_in(t["type"], _TYPES)),
            0.05,
        ),
        _Check("interactions.future_ts", "lie in the future", lambda t: pc.greater(t["ts"], latest), 0.05),
        _Check(
            "interactions.negative_price",
            "have a negative price",
            lambda t: pc.less(t["price"], 0).fill_null(False),
            0.05,
        ),
        # Behaviour of before an import is about datasets that are gone, and deleted datasets keep theirs: many may be.
        _Check(
            "interactions.unknown_dataset",
            "are about an unknown or deleted dataset",
            lambda t: pc.invert(pc.is_in(t["dataset_id"], known_datasets)),
            0.5,
        ),
        _Check("interactions.duplicate", "repeat another in everything", _repeats, 0.2),
    ]


def _null(table: str, column: str) -> _Check:
    return _Check(f"{table}.null_{column}", f"have no {column}", lambda t: t[column].is_null(), 0.01)


def _repeated(table: str, column: str) -> _Check:
    return _Check(f"{table}.duplicate_{column}", f"repeat a {column}", lambda t: _later_rows(t, [column]), 0.01)


def _repeats(table: pa.Table) -> pa.ChunkedArray:
    return _later_rows(table, ["user_id", "dataset_id", "type", "ts"])


def _later_rows(table: pa.Table, keys: list[str]) -> pa.ChunkedArray:
    """Return a mask of the rows whose keys an earlier row has."""
    rows = pa.array(np.arange(len(table)))
    first = table.select(keys).append_column("row", rows).group_by(keys).aggregate([("row", "min")])["row_min"]
    return pa.chunked_array([pc.invert(pc.is_in(rows, first))])


def _unknown_users(interactions: pa.Table, users: pa.Table) -> Finding:
    """Users that only the interactions know are kept: someone who signed up today has behaved already."""
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


def _empty(name: str, table: pa.Table) -> Finding | None:
    if len(table):
        return None
    return Finding(f"{name}.empty", "critical", f"no {name} are left to train on", 0, 1)
