"""DAGs that fail in different ways, which the listener distinguishes."""

import os
import signal
from datetime import timedelta

import pendulum
from airflow.sdk import dag, get_current_context, task

from localservers.waiting import wait_until

START = pendulum.datetime(2026, 1, 1, tz="UTC")
AT_ONCE = timedelta(seconds=0)


@dag(schedule=None, start_date=START, catchup=False)
def raises():
    """Fails finally in its second try."""

    @task(retries=1, retry_delay=AT_ONCE)
    def divide():
        return 41 / 0

    divide()


@dag(schedule=None, start_date=START, catchup=False)
def flaky():
    """Passes in its second try."""

    @task(retries=1, retry_delay=AT_ONCE)
    def second_time_lucky():
        if get_current_context()["ti"].try_number == 1:
            raise ConnectionError("the first try fails")

    second_time_lucky()


@dag(schedule=None, start_date=START, catchup=False)
def killed():
    """Dies without a report."""

    @task
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    die()


@dag(schedule=None, start_date=START, catchup=False)
def killed_in_a_run_that_passes():
    """Dies without a report, but later tasks run nevertheless, so the run counts as a success."""

    @task
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    @task(trigger_rule="all_done")
    def clean_up():
        return "clean"

    die() >> clean_up()


@dag(schedule=None, start_date=START, catchup=False)
def marked_failed():
    """Ends successfully just after a person has marked it as failed."""

    @task
    def slow():
        wait_for_failed("marked_failed", "slow")

    slow()


@dag(schedule=None, start_date=START, catchup=False)
def mapped():
    """Fails in its first instance, and passes in its second, after that."""

    @task
    def part(number):
        if number == 0:
            raise ValueError("the first of two fails")
        wait_for_failed("mapped", "part")

    part.expand(number=[0, 1])


@dag(schedule=None, start_date=START, catchup=False)
def fails_in_a_step():
    """Fails in a step of the pipeline."""

    @task
    def call_step():
        from pipeline.sentry_utils import monitor_pipeline_step

        @monitor_pipeline_step("sample_step")
        def step():
            raise LookupError("nothing there")

        step()

    call_step()


def wait_for_failed(dag_id, task_id):
    """Wait until Airflow has an instance of a task of this run as failed."""
    ti = get_current_context()["ti"]
    wait_until(
        lambda: ti.get_ti_count(dag_id=dag_id, task_ids=[task_id], run_ids=[ti.run_id], states=["failed"]),
        within=60,
        what=f"{task_id} of {dag_id} has failed",
    )


marked_failed()
mapped()
fails_in_a_step()
raises()
flaky()
killed()
killed_in_a_run_that_passes()
