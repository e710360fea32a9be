"""Opens a database for reading by its URL."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from business.database import BusinessDatabase, Timeouts
from business.duckdb_file import DuckdbDatabase
from business.errors import UnusableUrlError
from business.mysql import MysqlDatabase
from business.postgresql import PostgresqlDatabase
from business.sqlite import SqliteDatabase

FORMS = (
    "postgresql+psycopg2://user:password@host:5432/database, mysql+pymysql://user:password@host:3306/database, "
    "sqlite:///relative.db, sqlite:////absolute.db, duckdb:////absolute.duckdb"
)
_SERVERS: dict[str, tuple[str, type[BusinessDatabase]]] = {
    "postgresql": ("postgresql+psycopg2", PostgresqlDatabase),
    "mysql": ("mysql+pymysql", MysqlDatabase),
    "mariadb": ("mysql+pymysql", MysqlDatabase),
}
_FILES: dict[str, type[BusinessDatabase]] = {"sqlite": SqliteDatabase, "duckdb": DuckdbDatabase}
# The magic bytes of each kind of file, and their offset.
_MAGIC = {"sqlite": (0, b"SQLite format 3\0"), "duckdb": (8, b"DUCK")}
_DRIVERS = {"psycopg2", "pymysql", "pysqlite", ""}


def open_business_database(url: str, setting: str, timeouts: Timeouts | None = None) -> BusinessDatabase:
    """Connect to the database at a SQLAlchemy URL for reading.

    Raises `UnusableUrlError`, whose message names the setting, and `DatabaseUnavailableError`.
    """
    target = _parse(url, setting)
    backend, _, driver = target.drivername.partition("+")
    timeouts = timeouts or Timeouts()
    if driver not in _DRIVERS:
        raise UnusableUrlError(f"{setting}: the driver {driver} is not supported; expected {FORMS}")
    if backend in _FILES:
        _check_file(target, setting)
        return _FILES[backend](target, timeouts)
    if backend not in _SERVERS:
        raise UnusableUrlError(f"{setting}: databases of the kind {backend} can't be read; expected {FORMS}")
    if not target.database:
        raise UnusableUrlError(f"{setting}: names no database; expected {FORMS}")
    name, kind = _SERVERS[backend]
    try:
        return kind(target.set(drivername=name), timeouts)
    except UnusableUrlError as error:
        raise UnusableUrlError(f"{setting}: {error}") from None
    except (TypeError, ValueError, ArgumentError):
        # The driver doesn't know an option after the ?; its message may contain the values of the others.
        raise UnusableUrlError(f"{setting}: an option of the URL can't be used: {', '.join(target.query)}") from None


def _parse(url: str, setting: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # The message about a wrong port would contain a part of the password.
        raise UnusableUrlError(
            f"{setting}: not a usable SQLAlchemy URL; expected {FORMS}; "
            "special characters of a password are percent-encoded"
        ) from None


def _check_file(target: URL, setting: str) -> None:
    path = target.database
    if not path or path == ":memory:" or path.startswith("file:"):
        raise UnusableUrlError(f"{setting}: names no file; expected {FORMS}")
    place, magic = _MAGIC[target.get_backend_name()]
    try:
        with Path(path).open("rb") as file:
            head = file.read(place + len(magic))
    except FileNotFoundError as error:
        raise UnusableUrlError(
            f"{setting}: there is no file {path}; fill it by `python -m pipeline demo` or `import`, or correct the path"
        ) from error
    except OSError as error:
        raise UnusableUrlError(f"{setting}: {path}: {error.strerror}") from error
    # SQLite creates a file before it writes the first page.
    if head[place:] != magic and head:
        raise UnusableUrlError(f"{setting}: {path} is not a file of {target.get_backend_name()}")
