"""The steps of a run in one list, for the command line and the Airflow DAG.

A step takes the settings and the address of the run's folder, and writes its results to its own folder below it: steps
only pass on addresses.
"""

from pipeline.steps.beginning import begin_run, continue_run, find_latest_training, find_run, has_begun, new_run
from pipeline.steps.data import load_quarantine
from pipeline.steps.modelling import load_metrics
from pipeline.steps.run import EVALUATION, STEPS, Step, step_of, steps
from pipeline.steps.run_info import (
    RunInfo,
    RunKind,
    check_run_id,
    load_run_info,
    refresh_run_id,
    time_run_id,
    to_run_id,
    write_run_info,
)
from pipeline.steps.runner import StepState, explain_steps, run_step, run_steps, step_table

__all__ = [
    "EVALUATION",
    "STEPS",
    "RunInfo",
    "RunKind",
    "Step",
    "StepState",
    "begin_run",
    "check_run_id",
    "continue_run",
    "explain_steps",
    "find_latest_training",
    "find_run",
    "has_begun",
    "load_metrics",
    "load_quarantine",
    "load_run_info",
    "new_run",
    "refresh_run_id",
    "run_step",
    "run_steps",
    "step_of",
    "step_table",
    "steps",
    "time_run_id",
    "to_run_id",
    "write_run_info",
]
