"""What a report shows: the files of a run's folder, each of which may be missing."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from contracts.data_checks import DataCheckSeverity
from pipeline.artifacts import join
from pipeline.run_report.failure import RunFailure, load_failure
from pipeline.run_report.files import UnreadableResultError, read_checksum, read_json

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_Name = tuple[str, ...]
STEPS: _Name = ("steps.json",)
CHECKS: _Name = ("clean", "report.json")
SKEW: _Name = ("skew", "checks.json")
PROFILE: _Name = ("clean", "profile.json")
METRICS: _Name = ("evaluation", "metrics.json")
EVALUATION: _Name = ("evaluation", "evaluation.json")
ONLINE: _Name = ("feedback", "online.json")
FEEDBACK: _Name = ("model", "feedback.json")
MANIFEST: _Name = ("bundle", "contents", "manifest.json")
ARCHIVE: _Name = ("bundle", "bundle.tar.gz")
VERSION: _Name = ("registry", "version.json")
_NOT_ENDED = ("failed", "running")


class RunHeader(BaseModel):
    """`run.json`."""

    run_id: str = ""
    as_of: str = ""
    kind: str = "training"


class StepRow(BaseModel):
    """The last start of a step; `running` is the state of one whose process was killed, or that runs separately."""

    step: str
    state: str = ""
    seconds: float | None = None
    separate: bool = False

    @property
    def fails_run(self) -> bool:
        """Whether the run has failed by this step. A separate one may still be at work, and has retries of its own."""
        return self.state in _NOT_ENDED and not self.separate


class StepRows(BaseModel):
    """`steps.json`."""

    steps: list[StepRow] = []


class CheckRow(BaseModel):
    """One row of `clean/report.json`."""

    check: str
    severity: DataCheckSeverity
    value: float | None = None
    threshold: float | None = None
    details: str = ""
    advice: str = ""


class BundleFacts(BaseModel):
    """What a report shows of a bundle's manifest, of any release."""

    model_config = ConfigDict(extra="ignore")

    name: str = ""
    version: str = ""
    refreshes: str | None = None
    created_at: str = ""
    git_commit: str | None = None
    data_window: dict[str, Any] = {}
    config: dict[str, Any] | None = None


@dataclass(frozen=True)
class ReportContent:
    """The content of a report. `unreadable` names the files that exist and can't be shown."""

    run: str
    info: RunHeader = field(default_factory=RunHeader)
    steps: Sequence[StepRow] = ()
    failure: RunFailure | None = None
    checks: Sequence[CheckRow] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    online: Mapping[str, Any] = field(default_factory=dict)
    feedback: Mapping[str, Any] = field(default_factory=dict)
    manifest: BundleFacts | None = None
    archive: tuple[str, int] | None = None
    registry_version: str = ""
    unreadable: Sequence[str] = ()

    def with_failure(self, failure: RunFailure) -> "ReportContent":
        """Return the report of the same run as one that failed."""
        return replace(self, failure=failure)


def gather(run: str) -> ReportContent:
    """Return what the folder at the address `run` holds."""
    reader = _Reader(run)
    rows = TypeAdapter(list[CheckRow])
    checks = reader.read(CHECKS, rows.validate_python) or []
    skew = reader.read(SKEW, rows.validate_python) or []
    steps = (reader.read(STEPS, StepRows.model_validate) or StepRows()).steps
    failure = reader.call("failure/failure.json", lambda: load_failure(run))
    version = reader.read(VERSION, TypeAdapter(dict[str, str]).validate_python)
    return ReportContent(
        run=run.rstrip("/").rsplit("/", 1)[-1],
        info=reader.read(("run.json",), RunHeader.model_validate) or RunHeader(),
        steps=steps,
        failure=failure or next((RunFailure(step=each.step) for each in steps if each.fails_run), None),
        checks=[*checks, *skew],
        profile=reader.read(PROFILE, TypeAdapter(dict[str, Any]).validate_python) or {},
        metrics=reader.read(METRICS, TypeAdapter(dict[str, float]).validate_python) or {},
        evaluation=reader.read(EVALUATION, TypeAdapter(dict[str, Any]).validate_python) or {},
        online=reader.read(ONLINE, TypeAdapter(dict[str, Any]).validate_python) or {},
        feedback=reader.read(FEEDBACK, TypeAdapter(dict[str, Any]).validate_python) or {},
        manifest=reader.read(MANIFEST, BundleFacts.model_validate),
        archive=reader.call("/".join(ARCHIVE), lambda: read_checksum(join(run, *ARCHIVE))),
        registry_version=(version or {}).get("version", ""),
        unreadable=reader.unreadable,
    )


class _Reader:
    def __init__(self, run: str) -> None:
        self._run = run
        self.unreadable: list[str] = []

    def read(self, name: _Name, parse: Callable[[Any], _T]) -> _T | None:
        def parsed() -> _T | None:
            found = read_json(join(self._run, *name))
            return None if found is None else parse(found)

        return self.call("/".join(name), parsed)

    def call(self, name: str, read: Callable[[], _T | None]) -> _T | None:
        """Return what `read` returns, and None where it fails: one broken file costs its own section only."""
        try:
            return read()
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (UnreadableResultError, OSError) as error:
            reason = str(error) or type(error).__name__
        _log.warning("the report leaves out %s: %s", name, reason)
        self.unreadable.append(f"{name}: {reason}")
        return None
