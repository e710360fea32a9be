"""Chooses the engine by its address."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.artifact_store import locate
from pipeline.errors import InputError
from pipeline.relational.engine import Engine
from pipeline.relational.local import LocalEngine


@contextmanager
def open_engine(url: str | None, artifact_url: str) -> Iterator[Engine]:
    """Yield the engine at `url`, or DuckDB in this process without one.

    Raises `InputError` if the workers of a cluster can't see what is at `artifact_url`, or pyspark is not installed.
    """
    if url is None:
        yield LocalEngine()
        return
    shared: Path | None = locate(artifact_url).local_path
    if shared is None:
        raise InputError("PIPELINE_ENGINE_URL: ARTIFACT_URL has to be a folder that all workers see by the same path")
    from pipeline.relational.spark import open_spark

    shared.mkdir(parents=True, exist_ok=True)
    with open_spark(url, shared.absolute()) as engine:
        yield engine
