"""Monitoring of the offline pipeline: a decorator for steps and one function per kind of issue."""

import inspect
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar, cast

import monitoring
from pipeline.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

Severity = Literal["critical", "warning", "info"]
Details = str | Mapping[str, Any]


def monitor_pipeline_step(step_name: str, critical: bool = True) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Report when the decorated function or coroutine raises, and raise on.

    A critical step's failure is an error, another's a warning; an `InputError` is not reported. An exception that
    passes through several steps is reported by the innermost.
    """

    def decorate(step: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(step):
            run = cast("Callable[P, Awaitable[Any]]", step)

            @wraps(step)
            async def monitored_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                with _monitored(step_name, critical=critical):
                    return await run(*args, **kwargs)

            return cast("Callable[P, R]", monitored_coroutine)

        @wraps(step)
        def monitored(*args: P.args, **kwargs: P.kwargs) -> R:
            with _monitored(step_name, critical=critical):
                return step(*args, **kwargs)

        return monitored

    return decorate


def track_data_quality_issue(
    check_name: str,
    severity: Severity,
    details: Details,
    metric_value: float | None = None,
    threshold: float | None = None,
) -> None:
    """Report that a check found data outside its bounds; severity critical is an error, info is information."""
    monitoring.report(
        "pipeline.data_quality",
        check_name=check_name,
        severity=severity,
        details=details,
        metric_value=metric_value,
        threshold=threshold,
    )


def track_model_training_issue(
    model_name: str, issue_type: str, details: Details, metrics: Mapping[str, float] | None = None
) -> None:
    """Report a training that went wrong; issue_type `training_failed` is an error, any other a warning."""
    monitoring.report(
        "pipeline.model_training", model_name=model_name, issue_type=issue_type, details=details, metrics=metrics
    )


def track_feature_store_sync_issue(
    operation: str, error: BaseException, affected_count: int, total_count: int | None = None
) -> None:
    """Report that `affected_count` of `total_count` features did not reach the feature store."""
    monitoring.report(
        "pipeline.feature_store_sync",
        error=error,
        operation=operation,
        affected_count=affected_count,
        total_count=total_count,
        failure_rate=affected_count / total_count if total_count else None,
    )


def track_database_issue(
    operation: str, database: str, error: BaseException, query_info: Details | None = None
) -> None:
    """Report that a database refused an operation or could not be reached."""
    monitoring.report("pipeline.database", error=error, operation=operation, database=database, query_info=query_info)


@contextmanager
def _monitored(step_name: str, *, critical: bool) -> Iterator[None]:
    monitoring.breadcrumb("step started", category="pipeline", step_name=step_name)
    started = time.perf_counter()
    try:
        with monitoring.transaction("step", step_name):
            yield
    except Exception as error:
        # What the user has to correct is told by its message and exit code; the machinery is sound.
        if not isinstance(error, InputError) and not getattr(error, "reported_by_step", False):
            monitoring.report(
                "pipeline.critical_step_failed" if critical else "pipeline.step_failed",
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
