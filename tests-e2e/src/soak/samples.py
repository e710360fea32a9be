"""What is measured of the running programs: processes, monitoring's counters, tables and other bounded things."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import redis
from sqlalchemy import Connection, create_engine, select
from sqlalchemy.pool import NullPool

from contracts import redis_keys
from feature_sync.settings import Settings as SyncSettings
from monitoring import MonitoringSettings
from notification_gateway.request_index.queries import MAX_REQUESTS
from notification_gateway.tables import incidents, signals
from notification_gateway.tables import requests as index
from recommender_api.settings import Settings as RecommenderSettings
from soak.drift import REDIS_BOUND
from soak.stack import Program, Stack

_TIMEOUT_SECONDS = 3.0
_COUNTER = re.compile(r"^monitoring_(events|signals)_(\w+?)(?:_total)? ([0-9.e+]+)$", re.MULTILINE)
_COUNTED = ("delivered", "rejected", "dropped", "filtered", "waiting")
_MAX_REDIS_MB = 512
_SCHEMAS = ("gateway", "registry", "events")


def processes(stack: Stack) -> dict[str, dict[str, float]]:
    """Return the sums over the processes of each program that runs."""
    measured = {name: _measure(program) for name, program in stack.programs.items()}
    return {name: values for name, values in measured.items() if values}


def _measure(program: Program) -> dict[str, float]:
    tree = program.tree()
    total = {"pid": tree[0].pid if tree else 0, "memory_mb": 0.0, "cpu": 0.0, "files": 0, "threads": 0}
    total["connections"] = 0
    for process in tree:
        with suppress(psutil.NoSuchProcess), process.oneshot():
            cpu = process.cpu_times()
            # Private pages: shared ones would count once for each process of PostgreSQL.
            total["memory_mb"] += process.memory_full_info().uss / 2**20
            total["cpu"] += cpu.user + cpu.system
            total["files"] += process.num_fds()
            total["threads"] += process.num_threads()
            total["connections"] += len(process.net_connections("tcp"))
    return total if tree else {}


def counters(stack: Stack) -> dict[str, dict[str, float]]:
    """Return monitoring's counters of the services that answer, with the process that they belong to."""
    found = {}
    for name, url in stack.urls.items():
        tree = stack.programs[name].tree()
        with suppress(httpx.TransportError):
            text = httpx.get(f"{url}/metrics", timeout=_TIMEOUT_SECONDS).text
            if tree:
                found[name] = {"pid": tree[0].pid, **parse_counters(text)}
    return found


def parse_counters(text: str) -> dict[str, float]:
    """Return `events_delivered` and so on of a `/metrics` page."""
    return {f"{kind}_{name}": float(value) for kind, name, value in _COUNTER.findall(text) if name in _COUNTED}


def collector_events(database: Path) -> set[str]:
    """Return the ids of the events in the collector."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=_TIMEOUT_SECONDS)) as connection:
        return {UUID(str(row[0])).hex for row in connection.execute("SELECT event_id FROM events_event")}


class Database:
    """The services' database, read directly; not to be used while a fault has stopped it."""

    def __init__(self, url: str) -> None:
        options = {"connect_timeout": 3, "options": "-c statement_timeout=10000"}
        self._engine = create_engine(url, poolclass=NullPool, connect_args=options)

    def incidents(self) -> list[dict[str, Any]]:
        """Return the incidents, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(incidents).order_by(incidents.c.id)).all()
        return [
            {
                "id": row.id,
                "point": row.monitoring_point,
                "service": row.service,
                "fingerprint": list(row.fingerprint),
                "priority": row.priority,
                "opened": row.opened_at.timestamp(),
                "last_seen": row.last_seen.timestamp(),
                "resolved": None if row.resolved_at is None else row.resolved_at.timestamp(),
                "message": row.message,
                "parent": row.parent_id,
            }
            for row in rows
        ]

    def events_of_signals(self) -> set[str]:
        """Return the ids of the events that fired signals name."""
        with self._engine.connect() as connection:
            bodies = connection.execute(select(signals.c.body)).scalars()
            return {body["event_id"] for body in bodies if body.get("kind") == "fired" and body.get("event_id")}

    def rows(self) -> dict[str, int]:
        """Return the number of rows of every table."""
        with self._engine.connect() as connection:
            return dict(_rows(connection))

    def behaviour_events(self, prefix: str) -> int:
        """Return how many behaviour events whose ids begin so are stored."""
        with self._engine.connect() as connection:
            statement = "SELECT count(*) FROM events.behavior_events WHERE event_id LIKE %(prefix)s"
            return int(connection.exec_driver_sql(statement, {"prefix": f"{prefix}%"}).scalar_one())


def _rows(connection: Connection) -> Iterator[tuple[str, int]]:
    listed = connection.exec_driver_sql(
        "SELECT schemaname, relname FROM pg_stat_user_tables WHERE schemaname IN %(schemas)s ORDER BY 1, 2",
        {"schemas": _SCHEMAS},
    ).all()
    for schema, table in listed:
        # Names of the catalogue of PostgreSQL itself.
        count = connection.exec_driver_sql(f'SELECT count(*) FROM "{schema}"."{table}"').scalar_one()
        yield f"{schema}.{table}", int(count)


def index_rows(rows: dict[str, int]) -> dict[str, float]:
    """Return the rows of the index of requests with their bound."""
    return bounded("rows of the index of requests", rows.get(f"gateway.{index.name}", 0), MAX_REQUESTS)


def bounded(name: str, value: float, bound: float) -> dict[str, Any]:
    """Return a bounded thing."""
    return {"name": name, "value": round(value, 3), "bound": bound}


def bounds(stack: Stack) -> list[dict[str, Any]]:
    """Return what Redis and the disk hold of bounded things; raises `redis.RedisError` while Redis is down."""
    stream_mb = RecommenderSettings.model_fields["stream_max_mb"].default
    letters = SyncSettings.model_fields["dead_letters_max"].default
    journal_mb = RecommenderSettings.model_fields["event_journal_max_mb"].default
    spool_mb = MonitoringSettings.model_fields["spool_max_mb"].default
    with redis.Redis.from_url(stack.redis_url, socket_timeout=2, socket_connect_timeout=2) as client:
        stream = client.memory_usage(redis_keys.EVENT_STREAM, samples=5) or 0
        found = [
            bounded("event stream (MB)", stream / 2**20, stream_mb),
            bounded(REDIS_BOUND, client.info("memory")["used_memory"] / 2**20, _MAX_REDIS_MB),
            bounded("dead letters", client.xlen(redis_keys.DEAD_LETTERS), letters),
        ]
    services = [each for each in stack.folder.iterdir() if (each / "spool").is_dir()]
    found += [bounded(f"spool of {each.name} (MB)", _megabytes(each / "spool"), spool_mb) for each in services]
    return [*found, bounded("journal of events (MB)", _megabytes(stack.folder / "recommender_api/journal"), journal_mb)]


def _megabytes(folder: Path) -> float:
    total = 0
    for path in folder.rglob("*"):
        # Files of a spool come and go.
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total / 2**20
