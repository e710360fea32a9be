"""The table of withdrawn datasets, which feature-sync stores beside the behaviour event log."""

from pydantic import SecretStr

from business import BusinessDatabase
from pipeline.extract.events import open_event_log
from pipeline.extract.faults import note_read, reading
from pipeline.extract.log_tables import relations_of, select_rows, table_name

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
    if _TABLE not in relations_of(log):
        return frozenset()
    sql = f"SELECT DISTINCT dataset_id FROM {table_name(log.dialect, _TABLE)}"  # noqa: S608 - our own names
    return frozenset(dataset_id for (dataset_id,) in select_rows(log, sql, _TABLE))
