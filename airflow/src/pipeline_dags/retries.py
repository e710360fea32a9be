"""How the tasks of all DAGs are tried again."""

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

# Retrying these doesn't help; all other errors (databases, storage, unavailable services) are retried.
_OF_INPUT = ("pipeline.errors.DataError", "pipeline.errors.InputError")
_REFUSED = "pipeline.publish.http.RefusedError"


def retry_all_but(*final: str) -> ExceptionRetryPolicy:
    """Return the policy that retries all exceptions but these."""
    reason = "a retry would fail in the same way"
    return ExceptionRetryPolicy(rules=[RetryRule(exception=list(final), action=RetryAction.FAIL, reason=reason)])


DEFAULT_ARGS: dict[str, Any] = {
    # The first delay is Airflow's own setting, [core] default_task_retry_delay (5 min); each next one is twice as long.
    # A service or a database that is down for half an hour does not fail the run.
    "retries": 3,
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=30),
    "retry_policy": retry_all_but(*_OF_INPUT, _REFUSED),
    # A task that hangs fails and is reported; a time limit of the run would end it without a failed task.
    "execution_timeout": timedelta(hours=2),
}
# A sync that failed in feature-sync, such as while Redis was down, may succeed later.
SYNC_ARGS = DEFAULT_ARGS | {"retry_policy": retry_all_but(*_OF_INPUT)}
