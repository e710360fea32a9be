"""The steps of a run, composed once: the command line and the Airflow DAG run this list.

A step takes the settings and the address of the run's folder, and leaves its results in a folder of its own below it:
only addresses travel between steps.
"""

from pipeline.steps.modelling import load_metrics
from pipeline.steps.run import EVALUATION, Step, new_run, run_name, steps

__all__ = ["EVALUATION", "Step", "load_metrics", "new_run", "run_name", "steps"]
