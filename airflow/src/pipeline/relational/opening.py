"""Chooses the engine by its address."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from pipeline.artifacts import is_local
from pipeline.errors import InputError
from pipeline.relational.engine import Engine
from pipeline.relational.local import LocalEngine


def check_engine(url: str | None, artifact_url: str) -> None:
    """Raise `InputError` if the workers of a cluster can't see what is at `artifact_url`, or pyspark is missing."""
    if url is None:
        return
    if not is_local(artifact_url):
        raise InputError("PIPELINE_ENGINE_URL: ARTIFACT_URL has to be a folder that all workers see by the same path")
    if find_spec("pyspark") is None:
        raise InputError(
            "PIPELINE_ENGINE_URL: pyspark is not installed here; use the environment of requirements/spark.txt"
        )


@contextmanager
def open_engine(url: str | None, folder: Path) -> Iterator[Engine]:
    """Yield the engine at `url`, or DuckDB in this process without one.

    Both have their files in `folder` during a query. It is that of the step's results, below ARTIFACT_URL: workers see
    it, and the next try removes what a killed one has left there.
    """
    if url is None:
        yield LocalEngine(folder)
        return
    from pipeline.relational.spark import open_spark

    with open_spark(url, folder.absolute()) as engine:
        yield engine
