"""A Spark cluster: this process is the driver, and files are read and written by the workers."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from pipeline.errors import EngineError
from pipeline.relational.engine import Table

_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    # A wrong cast or an overflow is an error, as in DuckDB.
    "spark.sql.ansi.enabled": "true",
}


class SparkEngine:
    """Queries on a cluster; tables in memory and results pass through files in `shared`, which all workers see."""

    def __init__(self, session: SparkSession, shared: Path) -> None:
        self._session = session
        self._shared = shared

    def query(self, sql: str, tables: Mapping[str, Table]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query."""
        with tempfile.TemporaryDirectory(prefix=".engine-", dir=self._shared) as folder:
            found = Path(folder, "found")
            with _spark_errors():
                for name, table in tables.items():
                    path = _as_file(table, Path(folder, f"{name}.parquet"))
                    self._session.read.parquet(_escape(path)).createOrReplaceTempView(name)
                self._session.sql(sql).write.parquet(str(found))
            # Their names are in the order of the rows.
            for part in sorted(found.glob("part-*.parquet")):
                yield from pq.ParquetFile(part).iter_batches()


@contextmanager
def open_spark(master: str, shared: Path) -> Iterator[SparkEngine]:
    """Yield an engine on the cluster of a master, `spark://host:port`; what else Spark reads is in SPARK_CONF_DIR."""
    builder = SparkSession.builder.master(master).appName("pipeline")
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    with _spark_errors():
        session = builder.getOrCreate()
    try:
        yield SparkEngine(session, shared)
    finally:
        # If its JVM has died, that is not what the caller has to know: the query has raised why.
        with suppress(Py4JError, OSError):
            session.stop()


@contextmanager
def _spark_errors() -> Iterator[None]:
    """Raise `EngineError` for the errors of Spark, of calls of its JVM, and of a JVM that has died."""
    try:
        yield
    except (Py4JNetworkError, ConnectionError) as error:
        raise EngineError(f"Spark: its JVM here has died ({error})") from error
    except (PySparkException, Py4JError) as error:
        raise EngineError(f"Spark: {_message(error)}") from error


def _message(error: Exception) -> str:
    """Return the message without the stack in the JVM."""
    try:
        return str(error).partition("\n\tat ")[0]
    # The text of a Java exception is asked from the JVM, which may have died by now.
    except (Py4JError, ConnectionError):
        return type(error).__name__


def _as_file(table: Table, path: Path) -> str:
    if isinstance(table, Path):
        return str(table.absolute())
    pq.write_table(table, path)
    return str(path)


def _escape(path: str) -> str:
    """Return a path as one that is read as it is: Spark takes paths for patterns of Hadoop."""
    return re.sub(r"([][{}*?\\])", r"\\\1", path)
