"""The table of withdrawn datasets, which feature-sync stores beside the behaviour event log."""

from pydantic import SecretStr

from business import BusinessDatabase, Statement
from pipeline.extract.events import SCHEMA, open_event_log
from pipeline.extract.faults import note_read, reading

_TABLE = "withdrawn_datasets"


def read_withdrawn(database_url: SecretStr | None) -> frozenset[int]:
    """Return the ids of all withdrawn datasets, none without DATABASE_URL or its table; raises `DatabaseError`."""
    log = open_event_log(database_url)
    if log is None:
        return frozenset()
    with reading("events"), log:
        withdrawn = _read_table(log)
    note_read("events")
    return withdrawn


def _read_table(log: BusinessDatabase) -> frozenset[int]:
    schema = None if log.dialect == "sqlite" else SCHEMA
    if _TABLE not in log.relations(schema):
        return frozenset()
    name = _TABLE if schema is None else f"{schema}.{_TABLE}"
    statement = Statement(f"SELECT DISTINCT dataset_id FROM {name}", f"table {name}")  # noqa: S608 - our own names
    return frozenset(dataset_id for batch in log.rows(statement) for (dataset_id,) in batch)
