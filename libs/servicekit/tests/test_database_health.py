"""Each database's connections are in /metrics: how many, how long callers wait for one, and whether it answers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from localservers.ports import Ports
from localservers.waiting import wait_until
from servicekit.database import MAX_CONNECTIONS, open_database
from servicekit.database_health import MONITOR
from servicekit.database_metrics import DatabaseCollector
from servicekit.database_urls import database_name, parse_database_url

SCHEMA = "sample"


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    opened = open_database(postgres_url, SCHEMA)
    yield opened
    opened.dispose()


def metric(engine: Engine, name: str, **labels: str) -> float | None:
    return exported(name, database=database_name(engine.url), **labels)


def exported(name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(DatabaseCollector(MONITOR.measured))
    return registry.get_sample_value(name, labels)


def test_connections_in_use_and_idle_are_counted_against_the_limit(engine: Engine) -> None:
    assert metric(engine, "database_up") is None
    with engine.connect(), engine.connect():
        assert metric(engine, "database_pool_connections", state="in_use") == 2
        assert metric(engine, "database_pool_connections", state="idle") == 0
    assert metric(engine, "database_pool_connections", state="in_use") == 0
    assert metric(engine, "database_pool_connections", state="idle") == 2
    assert metric(engine, "database_pool_limit") == MAX_CONNECTIONS
    assert metric(engine, "database_up") == 1


def test_all_engines_of_a_database_count_together(engine: Engine, postgres_url: str) -> None:
    second = open_database(postgres_url, SCHEMA)
    with engine.connect(), second.connect():
        assert metric(engine, "database_pool_connections", state="in_use") == 2
        assert metric(engine, "database_pool_limit") == 2 * MAX_CONNECTIONS
    second.dispose()


def test_a_caller_who_waits_for_a_connection_is_measured(engine: Engine) -> None:
    held = [engine.connect() for _ in range(MAX_CONNECTIONS)]
    before = metric(engine, "database_connection_wait_seconds_sum")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: engine.connect().close())
        wait_until(waiting.running, within=60, what="a caller waits")
        with held[0] as used:
            used.execute(text("SELECT pg_sleep(0.5)"))
        waiting.result()
    for each in held:
        each.close()
    count, after = (metric(engine, f"database_connection_wait_seconds_{name}") for name in ("count", "sum"))
    assert count == MAX_CONNECTIONS + 1
    assert before is not None
    assert after is not None
    assert after - before > 0.1
    assert metric(engine, "database_connection_wait_seconds_bucket", le="+Inf") == count
    assert metric(engine, "database_connect_seconds_count") == MAX_CONNECTIONS


def test_a_database_that_is_gone_is_down_until_it_answers_again(engine: Engine) -> None:
    gone = open_database(f"postgresql://nobody@127.0.0.1:{Ports.free().postgres}/{engine.url.database}", SCHEMA)
    with pytest.raises(OperationalError):
        gone.connect()
    assert metric(engine, "database_up") == 0
    with engine.connect():
        assert metric(engine, "database_up") == 1
    gone.dispose()


def test_a_file_is_measured_by_its_name_after_a_disposal_too(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/measured.db", SCHEMA)
    for _ in range(2):
        with engine.connect():
            pass
        engine.dispose()
    assert exported("database_connect_seconds_count", database="measured.db") == 2
    assert exported("database_connection_wait_seconds_count", database="measured.db") == 2
    assert database_name(parse_database_url("sqlite://")) == "memory"
