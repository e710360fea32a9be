"""The behaviour event log, where feature-sync keeps it."""

from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Engine, make_url

from pipeline.business.database import open_engine

_SCHEMA = "events"


def open_event_log(url: SecretStr | None) -> Engine | None:
    """Return the engine of the event log, or None without one; on SQLite it is the file `<file>.events`."""
    if url is None:
        return None
    target = make_url(url.get_secret_value())
    if target.get_backend_name() != "sqlite":
        return open_engine(url.get_secret_value(), "DATABASE_URL")
    path = f"{target.database}.{_SCHEMA}"
    if not Path(path).exists():
        return None
    return open_engine(target.set(database=path).render_as_string(hide_password=False), "DATABASE_URL")
