"""Monitoring of the offline pipeline: a decorator for steps, and two functions per kind of issue.

`track_…_issue` reports a fault, and `track_…_ok` that the same thing is right again, which ends the incident. A caller
that uses the first on a fault must use the second otherwise. Without `monitoring.init()` both only log one warning.
"""

import inspect
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar, cast

import monitoring
from contracts.severities import MAX_WORD_CHARS, parse_severity
from contracts.signals import Level
from pipeline.errors import InputError, NothingToDoError

P = ParamSpec("P")
R = TypeVar("R")

Severity = Literal["critical", "warning", "info"]
Details = str | Mapping[str, Any]
TRAINING_FAILED = "training_failed"
MAX_UNKNOWN_WORDS = 100

_SEVERITIES: Mapping[Level, Severity] = {
    "fatal": "critical",
    "error": "critical",
    "warning": "warning",
    "info": "info",
    "debug": "info",
}
_log = logging.getLogger(__name__)


class FirstSeen:
    """Says whether a word is new; once `limit` words are known, none is."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._words: set[str] = set()

    def is_first(self, word: str) -> bool:
        """Return whether the word is new, and store it."""
        if word in self._words or len(self._words) >= self._limit:
            return False
        self._words.add(word)
        return True


_unknown_severities = FirstSeen(MAX_UNKNOWN_WORDS)


def monitor_pipeline_step(step_name: str, critical: bool = True) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Report when the decorated function or coroutine raises, and raise the error again.

    A critical step's failure is an error, another's a warning; an `InputError` is not reported. If an exception passes
    through several steps, the innermost reports it. A step that passes ends the incident of its failures, also those of
    other processes: the name of the step identifies them.
    """

    def decorate(step: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(step):
            run = cast("Callable[P, Awaitable[Any]]", step)

            @wraps(step)
            async def monitored_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                with _monitor_step(step_name, critical=critical):
                    return await run(*args, **kwargs)

            return cast("Callable[P, R]", monitored_coroutine)

        @wraps(step)
        def monitored(*args: P.args, **kwargs: P.kwargs) -> R:
            with _monitor_step(step_name, critical=critical):
                return step(*args, **kwargs)

        return monitored

    return decorate


def track_data_quality_issue(
    check_name: str,
    severity: Severity | str,
    details: Details,
    metric_value: float | None = None,
    threshold: float | None = None,
) -> None:
    """Report that a check found data outside its limits; severity critical is an error, info is information.

    Synonyms are accepted (`CRITICAL`, `fatal`, `high`, `warn`, `notice`). An unknown severity counts as critical.
    """
    monitoring.warn_without_init("track_data_quality_issue")
    monitoring.report(
        "pipeline.data_quality",
        check_name=check_name,
        severity=_severity(severity, check_name),
        details=details,
        metric_value=metric_value,
        threshold=threshold,
    )


def track_data_quality_ok(check_name: str) -> None:
    """Report that a check found the data inside its limits."""
    monitoring.warn_without_init("track_data_quality_ok")
    monitoring.recovered("pipeline.data_quality", check_name=check_name)


def track_model_training_issue(
    model_name: str, issue_type: str, details: Details, metrics: Mapping[str, float] | None = None
) -> None:
    """Report a training issue; issue_type `training_failed`, in any spelling, is an error."""
    monitoring.warn_without_init("track_model_training_issue")
    monitoring.report(
        "pipeline.model_training",
        model_name=model_name,
        issue_type=_issue_type(issue_type),
        details=details,
        metrics=metrics,
    )


def track_model_training_ok(model_name: str, issue_type: str) -> None:
    """Report that a training had no such issue."""
    monitoring.warn_without_init("track_model_training_ok")
    monitoring.recovered("pipeline.model_training", model_name=model_name, issue_type=issue_type)


def track_feature_store_sync_issue(
    operation: str, error: BaseException, affected_count: int, total_count: int | None = None
) -> None:
    """Report that `affected_count` of `total_count` features did not reach the feature store."""
    monitoring.warn_without_init("track_feature_store_sync_issue")
    monitoring.report(
        "pipeline.feature_store_sync",
        error=error,
        operation=operation,
        affected_count=affected_count,
        total_count=total_count,
        failure_rate=affected_count / total_count if total_count else None,
    )


def track_feature_store_sync_ok(operation: str) -> None:
    """Report that the features of an operation reached the feature store."""
    monitoring.warn_without_init("track_feature_store_sync_ok")
    monitoring.recovered("pipeline.feature_store_sync", operation=operation)


def track_database_issue(
    operation: str, database: str, error: BaseException, query_info: Details | None = None
) -> None:
    """Report that a database rejected an operation or could not be reached."""
    monitoring.warn_without_init("track_database_issue")
    monitoring.report("pipeline.database", error=error, operation=operation, database=database, query_info=query_info)


def track_database_ok(operation: str, database: str) -> None:
    """Report that a database operation succeeded."""
    monitoring.warn_without_init("track_database_ok")
    monitoring.recovered("pipeline.database", operation=operation, database=database)


def _severity(word: object, check_name: str) -> Severity:
    """Return the severity that a word stands for; an unknown word counts as the worst."""
    text = str(word)[: MAX_WORD_CHARS + 1]
    level = parse_severity(text) if isinstance(word, str) else None
    if level is None and _unknown_severities.is_first(text):
        _log.warning("check %s: severity %r is not known, so it counts as critical", check_name, text)
    return _SEVERITIES[level or "error"]


def _issue_type(text: str) -> str:
    spelled = "_".join(re.split(r"[\W_]+", text.casefold().strip()))
    return TRAINING_FAILED if spelled == TRAINING_FAILED else text


@contextmanager
def _monitor_step(step_name: str, *, critical: bool) -> Iterator[None]:
    point = "pipeline.critical_step_failed" if critical else "pipeline.step_failed"
    monitoring.warn_without_init(f"monitor_pipeline_step({step_name!r})")
    monitoring.breadcrumb("step started", category="pipeline", step_name=step_name)
    started = time.perf_counter()
    try:
        with monitoring.transaction("step", step_name):
            yield
    except NothingToDoError:
        # The step found nothing to do, which is a success.
        monitoring.recovered(point, step_name=step_name)
        raise
    except Exception as error:
        # The user sees the message and the exit code; the pipeline itself works.
        if not isinstance(error, InputError) and not getattr(error, "reported_by_step", False):
            monitoring.report(
                point,
                error=error,
                step_name=step_name,
                critical=critical,
                duration_seconds=round(time.perf_counter() - started, 3),
            )
            with suppress(AttributeError):
                error.reported_by_step = True  # type: ignore[attr-defined]
        raise
    duration = round(time.perf_counter() - started, 3)
    monitoring.breadcrumb("step completed", category="pipeline", step_name=step_name, duration_seconds=duration)
    monitoring.recovered(point, step_name=step_name)
