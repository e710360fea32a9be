"""The steps of a run in one list, for the command line and the Airflow DAG.

A step takes the settings and the address of the run's folder, and writes its results to its own folder below it: steps
only pass on addresses.
"""

from pipeline.steps.modelling import load_metrics
from pipeline.steps.run import EVALUATION, Step, new_run, run_name, steps

__all__ = ["EVALUATION", "Step", "load_metrics", "new_run", "run_name", "steps"]
