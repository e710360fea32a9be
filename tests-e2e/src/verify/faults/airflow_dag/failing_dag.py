"""A DAG whose one task divides by zero; as a program in Airflow's environment it runs the DAG once."""

import sys

from airflow.sdk import dag, task


@dag(schedule=None)  # type: ignore[untyped-decorator] # the types are in the other environment
def verify() -> None:
    """Fail."""

    @task  # type: ignore[untyped-decorator] # as above
    def divide() -> float:
        return 41 / 0

    divide()


verify()

if __name__ == "__main__":
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    run = DagBag().dags["verify"].test()
    sys.stdout.write(f"verify: the run ended: {run.state}\n")
