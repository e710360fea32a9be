"""A task that fails for good, in Airflow's own environment, under the listener that the stack's Airflow has."""

from pathlib import Path

from verify.faults.fault import Fault, Raised
from verify.workshop import FaultNotFiredError, Workshop

_DAG = Path(__file__).parent / "airflow_dag"
_RAN = "verify: the run ended"


def fire(shop: Workshop) -> None:
    """See the module."""
    home = shop.folder / "airflow"
    variables = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_DAG),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    said = shop.command([shop.airflow_python, _DAG / "failing_dag.py"], variables)
    if _RAN not in said:
        raise FaultNotFiredError(f"no task ran: {said}")


FAULT = Fault("airflow", {"airflow.task_failed": Raised("airflow")}, fire)
