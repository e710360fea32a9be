"""SQLAlchemy engines and migrations: one schema and one Alembic history per service, one file each on SQLite."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, DateTime, Dialect, Engine, TypeDecorator, create_engine, event, text
from sqlalchemy.schema import CreateSchema

from servicekit.database_health import MONITOR
from servicekit.database_urls import database_name, parse_database_url

_LOCK_POLL_SECONDS = 0.2
# A process that starts beside one that migrates waits for it.
_SQLITE_MIGRATION_WAIT_SECONDS = 600
# SQLAlchemy's defaults.
_POOL = {"pool_size": 5, "max_overflow": 10}
MAX_CONNECTIONS = _POOL["pool_size"] + _POOL["max_overflow"]


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite, which knows no zones, keeps it as UTC without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's
        """Return what is stored."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - as above
        """Return what was stored, with its zone."""
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)


def open_database(url: str, schema: str) -> Engine:
    """Return an engine whose tables live in `schema` (SQLite: in `<file>.<schema>`), with explicit timeouts.

    Declare tables with `MetaData(schema=schema)`; on SQLite the schema is translated away.
    """
    target = parse_database_url(url)
    name = database_name(target)
    if target.get_backend_name() == "sqlite":
        if target.database in (None, "", ":memory:"):
            # Each thread has a database of its own, so no one waits for a connection.
            engine = create_engine(target, connect_args={"timeout": 10})
        else:
            target = target.set(database=f"{target.database}.{schema}")
            pool = MONITOR.pool_class(name)
            engine = create_engine(target, poolclass=pool, **_POOL, connect_args={"timeout": 10})
            MONITOR.watch(engine, name, MAX_CONNECTIONS)
        event.listen(engine, "connect", _prepare_sqlite)
        return engine.execution_options(schema_translate_map={schema: None})
    engine = create_engine(
        target,
        poolclass=MONITOR.pool_class(name),
        **_POOL,
        pool_pre_ping=True,
        pool_timeout=5,
        connect_args={"connect_timeout": 5, "options": "-c statement_timeout=15000 -c lock_timeout=10000"},
    )
    MONITOR.watch(engine, name, MAX_CONNECTIONS)
    return engine


def migrate(engine: Engine, schema: str, scripts: Path) -> None:
    """Bring `schema` to the newest revision below `scripts`; replicas that start together wait for one another.

    Each revision is a transaction of its own, and may take as long as it needs. One that has to leave its transaction
    (`autocommit_block`, for CREATE INDEX CONCURRENTLY) must bear to be repeated after an interruption. On SQLite, all
    revisions are one transaction, which also is the lock.
    """
    with _one_at_a_time(engine, schema), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            _make_ddl_transactional(connection)
        else:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(CreateSchema(schema, if_not_exists=True))
            connection.commit()
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        config.attributes["connection"] = connection
        config.attributes["schema"] = schema
        try:
            command.upgrade(config, "head")
        finally:
            # Not back into the pool: its statements have no timeout.
            connection.invalidate()


def run_alembic_env() -> None:
    """Run the migrations of an Alembic `env.py`; it needs nothing else."""
    from alembic import context

    connection: Connection = context.config.attributes["connection"]
    is_sqlite = connection.dialect.name == "sqlite"
    schema: str | None = None if is_sqlite else context.config.attributes["schema"]
    context.configure(
        connection=connection,
        version_table_schema=schema,
        transactional_ddl=True,
        transaction_per_migration=not is_sqlite,
    )
    with context.begin_transaction():
        context.run_migrations()


@contextmanager
def _one_at_a_time(engine: Engine, schema: str) -> Iterator[None]:
    if engine.dialect.name == "sqlite":
        yield
        return
    name = {"name": f"recsys.{schema}"}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Not waiting inside a statement: CREATE INDEX CONCURRENTLY of another replica would wait for that statement.
        while not connection.execute(text("SELECT pg_try_advisory_lock(hashtext(:name))"), name).scalar_one():
            time.sleep(_LOCK_POLL_SECONDS)
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(hashtext(:name))"), name)


def _make_ddl_transactional(connection: Connection) -> None:
    """Let this connection begin its transactions itself: Python's driver would commit each DDL statement alone."""
    driver: Any = connection.connection.driver_connection
    driver.isolation_level = None
    driver.execute(f"PRAGMA busy_timeout = {_SQLITE_MIGRATION_WAIT_SECONDS * 1000}")
    event.listen(connection, "begin", lambda begun: begun.exec_driver_sql("BEGIN IMMEDIATE"))


def _prepare_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # DBAPI connections have no common type
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
