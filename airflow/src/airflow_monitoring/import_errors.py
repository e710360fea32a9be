"""Reports DAG files that Airflow can't import, and their recovery. No hook covers this, so the table is polled."""

import logging
import threading
from collections.abc import Callable, Mapping

import monitoring

POINT = "pipeline.dag_import_failed"
POLL_SECONDS = 15.0
_log = logging.getLogger(__name__)

# A DAG file below its bundle, as (bundle, file).
DagFile = tuple[str, str]


class ImportErrors:
    """Compares the previous and the current import errors; `read_errors` returns the stack traces by file."""

    def __init__(
        self, read_errors: Callable[[], Mapping[DagFile, str]], read_files: Callable[[], set[DagFile]]
    ) -> None:
        self._read_errors = read_errors
        self._read_files = read_files
        self._known: dict[DagFile, str] | None = None

    def look(self) -> None:
        """Report new import errors, and the recovery of those that are gone."""
        current = dict(self._read_errors())
        for (bundle, name), trace in current.items():
            if self._known is None or self._known.get((bundle, name)) != trace:
                monitoring.report(POINT, dag_file=name, bundle=bundle, details=_last_line(trace), stack_trace=trace)
        for bundle, name in self._candidates() - current.keys():
            monitoring.recovered(POINT, dag_file=name, bundle=bundle)
        if self._known is None and not current:
            # Also of deleted files.
            monitoring.recovered(POINT)
        self._known = current

    def _candidates(self) -> set[DagFile]:
        """Return the files that may have recovered; at first all, because an earlier process may have reported them."""
        return self._read_files() if self._known is None else set(self._known)


class ImportErrorWatch:
    """Polls in a thread of its own until it is stopped, or until its first poll finds that it is not needed."""

    def __init__(self, errors: ImportErrors, is_wanted: Callable[[], bool], poll_seconds: float = POLL_SECONDS) -> None:
        self._errors = errors
        self._is_wanted = is_wanted
        self._poll_seconds = poll_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="import-errors", daemon=True)

    def start(self) -> None:
        """Start polling."""
        self._thread.start()

    def stop(self) -> None:
        """Poll once more and stop."""
        self._stopped.set()
        self._thread.join(self._poll_seconds)

    def _run(self) -> None:
        while not self._stopped.wait(self._poll_seconds):
            if not self._is_wanted():
                return
            self._look()
        if self._is_wanted():
            self._look()

    def _look(self) -> None:
        try:
            self._errors.look()
        except Exception:  # noqa: BLE001 - the database may be away; the next look is soon
            _log.exception("cannot read Airflow's import errors")


def watch_database(is_wanted: Callable[[], bool]) -> ImportErrorWatch:
    """Return a watch over the metadata database, which the DAG processor may read."""
    return ImportErrorWatch(ImportErrors(_stored_errors, _stored_files), is_wanted)


def _stored_errors() -> dict[DagFile, str]:
    from airflow.models.errors import ParseImportError
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        columns = (ParseImportError.bundle_name, ParseImportError.filename, ParseImportError.stacktrace)
        rows = session.execute(select(*columns)).all()
    return {(bundle or "", name or ""): trace or "" for bundle, name, trace in rows}


def _stored_files() -> set[DagFile]:
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        rows = session.execute(select(DagModel.bundle_name, DagModel.relative_fileloc).distinct()).all()
    return {(bundle or "", name) for bundle, name in rows if name}


def _last_line(trace: str) -> str:
    lines = trace.strip().splitlines()
    return lines[-1].strip() if lines else "no stack trace"
