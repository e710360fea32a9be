"""Airflow in a home of its own, with the listener's collector and gateway on loopback."""

import os
import tempfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Not by an import, which would read the environment too early.
HAS_AIRFLOW = any(distributions(name="apache-airflow"))

# The environment of the services has no Airflow; `make test` runs this folder in `.venvs/airflow`.
collect_ignore_glob = [] if HAS_AIRFLOW else ["test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    """Airflow reads its environment when it is imported, so this comes first."""
    if not HAS_AIRFLOW:
        return
    for name in list(os.environ):
        if name.startswith(("AIRFLOW", "SENTRY_", "GATEWAY_", "SPOOL_")):
            del os.environ[name]
    home = tempfile.TemporaryDirectory(prefix="airflow-tests-")
    config.add_cleanup(home.cleanup)
    os.environ |= {
        "AIRFLOW_HOME": home.name,
        "AIRFLOW__CORE__DAGS_FOLDER": str(HERE / "samples"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """An empty metadata database, for `dag.test()`."""
    from airflow.utils.db import initdb

    initdb()
