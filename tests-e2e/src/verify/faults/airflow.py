"""A task that fails finally and a DAG file that can't be imported, with the same listener as the stack's Airflow."""

from collections.abc import Mapping
from pathlib import Path

from verify.fault_lab import FaultLab, FaultNotFiredError
from verify.faults.fault import Fault, Raised

_DAG = Path(__file__).parent / "airflow_dag"
_RAN = "verify: the run ended"


def fire(shop: FaultLab) -> None:
    """See the package."""
    home = shop.folder / "airflow"
    variables = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_DAG),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    _fail_task(shop, variables)
    _fail_import(shop, variables)


def _fail_task(shop: FaultLab, variables: Mapping[str, str]) -> None:
    said = shop.command([shop.airflow_python, _DAG / "failing_dag.py"], variables)
    if _RAN not in said:
        raise FaultNotFiredError(f"no task ran: {said}")


def _fail_import(shop: FaultLab, variables: Mapping[str, str]) -> None:
    dags = shop.folder / "broken_dags"
    dags.mkdir()
    # Airflow only reads files that contain both words.
    (dags / "broken.py").write_text('raise RuntimeError("verify: no airflow dag here")\n', encoding="utf-8")
    broken = {**variables, "AIRFLOW__CORE__DAGS_FOLDER": str(dags)}
    shop.command([shop.airflow_python, "-m", "airflow", "dag-processor", "--num-runs", "1"], broken)


FAULT = Fault(
    "airflow",
    {"airflow.task_failed": Raised("airflow"), "pipeline.dag_import_failed": Raised("airflow")},
    fire,
)
