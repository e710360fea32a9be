"""Stores which step of a run failed and why, because the report is made later and by another process."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ValidationError

import monitoring
from pipeline.artifacts import folders_below, join, remove, writing
from pipeline.errors import NothingToDoError, PipelineError
from pipeline.run_report.files import UnreadableResultError, read_json

FOLDER, FILE = "failure", "failure.json"
MAX_MESSAGE_CHARS = 20_000
_log = logging.getLogger(__name__)


class RunFailure(BaseModel):
    """The step that failed, and its error without secrets; by default that of a step that could not say."""

    step: str
    error_type: str = ""
    message: str = "the process of the step ended without an error: killed, out of memory, or never started"
    at: AwareDatetime | None = None


def _utc_now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def record_failure(
    run: str, step: str, clock: Callable[[], datetime] = _utc_now, *, separate: bool = False
) -> Iterator[None]:
    """Store the error that a step raises, and raise it again. A step that passes removes what an earlier try stored.

    The error of a `separate` step is not stored: its run may be making its report at this moment.
    """
    try:
        yield
    except NothingToDoError:
        raise
    except Exception as error:
        if separate:
            raise
        failure = RunFailure(
            step=step,
            error_type=type(error).__name__,
            message=monitoring.redacted(str(error))[:MAX_MESSAGE_CHARS],
            at=clock(),
        )
        _store(run, failure)
        raise
    _forget(run)


def load_failure(run: str) -> RunFailure | None:
    """Return the failure of a run, None if no step failed; raises `UnreadableResultError` and `OSError`."""
    stored = read_json(join(run, FOLDER, FILE))
    try:
        return None if stored is None else RunFailure.model_validate(stored)
    except ValidationError as error:
        raise UnreadableResultError("not a failure's record") from error


def _store(run: str, failure: RunFailure) -> None:
    try:
        with writing(join(run, FOLDER)) as folder:
            (folder / FILE).write_text(failure.model_dump_json(), encoding="utf-8")
    except (OSError, PipelineError) as error:
        # The step's own error counts; a store that is down may be its cause.
        _log.warning("the failure of %s could not be stored for the report: %s", failure.step, error)


def _forget(run: str) -> None:
    try:
        if FOLDER in folders_below(run):
            remove(join(run, FOLDER))
    except (OSError, PipelineError) as error:
        _log.warning("the record of an earlier failure could not be removed: %s", error)
