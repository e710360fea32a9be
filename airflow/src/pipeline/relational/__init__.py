"""Runs SQL over Parquet files and Arrow tables, on this machine or on a cluster, by one setting.

A query is written once, in the SQL that DuckDB and Spark share.
"""

from pipeline.relational.engine import Engine, Table
from pipeline.relational.local import LocalEngine
from pipeline.relational.opening import open_engine

__all__ = ["Engine", "LocalEngine", "Table", "open_engine"]
