"""URLs of a service's own database, checked before anything connects: the message never quotes them."""

from pathlib import PurePath
from typing import Annotated

from pydantic import AfterValidator, SecretStr
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from contracts.access import SecretLine

_FORMS = "sqlite:///recsys.db or postgresql://host:5432/recsys"
_DRIVER = "postgresql+psycopg2"


def parse_database_url(text: str) -> URL:
    """Return the URL of an SQLite or PostgreSQL database, with the driver that is installed; raises `ValueError`."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise ValueError(f"can't be read; a database URL looks like {_FORMS}") from error
    # It has been through int(), which takes 5_432.
    if url.port is not None and f":{url.port}" not in text.partition("?")[0]:
        raise ValueError("a port is written in the digits 0 to 9")
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername=_DRIVER)
    if url.drivername not in ("sqlite", "sqlite+pysqlite", _DRIVER):
        raise ValueError(f"names a database or driver that is not taken; a database URL looks like {_FORMS}")
    return url


def database_name(url: URL) -> str:
    """Return the name of a database for people and metrics: that on its server, or that of SQLite's file."""
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        return PurePath(str(url.database)).name
    return url.database or "memory"


def _check(value: SecretStr) -> SecretStr:
    parse_database_url(value.get_secret_value())
    return value


DatabaseUrl = Annotated[SecretLine, AfterValidator(_check)]
