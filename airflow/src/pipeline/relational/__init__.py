"""Runs SQL over Parquet files and Arrow tables, on this machine or on a cluster, by one setting.

A query is written once, in the SQL that DuckDB and Spark share.
"""

from pipeline.relational.engine import Engine, Table
from pipeline.relational.local import LocalEngine
from pipeline.relational.opening import check_engine, open_engine

__all__ = ["Engine", "LocalEngine", "Table", "check_engine", "open_engine"]
