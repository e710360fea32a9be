"""Airflow with a home folder of its own, and the listener's collector and gateway on loopback."""

import json
import os
import tempfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from fake_handover import FakeHandover

HERE = Path(__file__).parent
DAGS = HERE.parents[1] / "dags"
SAMPLES = HERE / "samples"
# Not by an import, which would read the environment too early.
HAS_AIRFLOW = any(distributions(name="apache-airflow"))

# The environment of the services has no Airflow; `make test` runs this folder in `.venvs/airflow`.
collect_ignore_glob = [] if HAS_AIRFLOW else ["test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment first: Airflow reads it at its import."""
    if not HAS_AIRFLOW:
        return
    for name in list(os.environ):
        if name.startswith(("AIRFLOW", "SENTRY_", "GATEWAY_", "SPOOL_")):
            del os.environ[name]
    home = tempfile.TemporaryDirectory(prefix="airflow-tests-")
    config.add_cleanup(home.cleanup)
    os.environ |= {
        "AIRFLOW_HOME": home.name,
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([_bundle(DAGS), _bundle(SAMPLES)]),
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "0",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # On small data, threads that wait for each other on a busy machine cost a hundred times their work.
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """An empty metadata database, for `dag.test()`."""
    from airflow.utils.db import initdb

    initdb()


def _bundle(folder: Path) -> dict[str, object]:
    return {
        "name": folder.name,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(folder)},
    }


def _dags(folder: Path) -> dict[str, object]:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(folder))
    assert bag.import_errors == {}
    return bag.dags


@pytest.fixture
def dags(airflow_database: None) -> dict[str, object]:
    """The DAGs of the product by id."""
    return _dags(DAGS)


@pytest.fixture
def dag(dags: dict[str, object]) -> object:
    """The nightly one."""
    return dags["recommendation_pipeline"]


@pytest.fixture
def services() -> Iterator[FakeHandover]:
    """The services that a run hands over to."""
    with FakeHandover() as server:
        yield server


@pytest.fixture
def marketplace(tmp_path: Path, services: FakeHandover, monkeypatch: pytest.MonkeyPatch) -> str:
    """The settings of a run over a small marketplace; returns the database's URL."""
    # Imported here, after the environment was set.
    from marketplace import set_marketplace

    return set_marketplace(monkeypatch, tmp_path, services)


@pytest.fixture
def samples(airflow_database: None) -> dict[str, object]:
    """The sample DAGs by id; each fails in another way."""
    return _dags(SAMPLES)
