"""A Spark cluster: this process is the driver, and files are read and written by the workers."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import EngineError, InputError
from pipeline.relational.engine import Table

try:
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession
except ImportError as missing:
    raise InputError(
        "PIPELINE_ENGINE_URL: pyspark is not installed here; use the environment of requirements/spark.txt"
    ) from missing

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
            try:
                for name, table in tables.items():
                    path = _as_file(table, Path(folder, f"{name}.parquet"))
                    self._session.read.parquet(path).createOrReplaceTempView(name)
                self._session.sql(sql).write.parquet(str(found))
            except PySparkException as error:
                raise EngineError(f"Spark: {error}") from error
            # Their names are in the order of the rows.
            for part in sorted(found.glob("part-*.parquet")):
                yield from pq.ParquetFile(part).iter_batches()


@contextmanager
def open_spark(master: str, shared: Path) -> Iterator[SparkEngine]:
    """Yield an engine on the cluster of a master, `spark://host:port`; what else Spark reads is in SPARK_CONF_DIR."""
    builder = SparkSession.builder.master(master).appName("pipeline")
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except PySparkException as error:
        raise EngineError(f"Spark: {error}") from error
    try:
        yield SparkEngine(session, shared)
    finally:
        session.stop()


def _as_file(table: Table, path: Path) -> str:
    if isinstance(table, Path):
        return str(table.absolute())
    pq.write_table(table, path)
    return str(path)
