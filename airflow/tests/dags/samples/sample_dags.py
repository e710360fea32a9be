"""DAGs that fail in the ways that the listener tells apart."""

import os
import signal
from datetime import timedelta

import pendulum
from airflow.sdk import dag, get_current_context, task

START = pendulum.datetime(2026, 1, 1, tz="UTC")
AT_ONCE = timedelta(seconds=0)


@dag(schedule=None, start_date=START, catchup=False)
def raises():
    """Fails for good in its second try."""

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
    """Dies without a word."""

    @task
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    die()


@dag(schedule=None, start_date=START, catchup=False)
def killed_in_a_run_that_passes():
    """Dies without a word, and what follows runs nevertheless, so that the run counts as a success."""

    @task
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    @task(trigger_rule="all_done")
    def clean_up():
        return "clean"

    die() >> clean_up()


raises()
flaky()
killed()
killed_in_a_run_that_passes()
