"""Runs steps: marks them as done, skips those that are up to date, and records how long each took."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ValidationError
from threadpoolctl import threadpool_limits

from pipeline.artifacts import join, read_file, write_file
from pipeline.errors import NothingToDoError
from pipeline.run_report import record_failure
from pipeline.settings import Settings
from pipeline.steps.marker_files import is_done, remove_marker
from pipeline.steps.markers import find_change, input_digests, write_marker
from pipeline.steps.run import Step

DURATIONS = "steps.json"
Say = Callable[[str], None]


class StepTime(BaseModel):
    """One line of `steps.json`. `seconds` is None while the step runs, and of a step whose process was killed.

    A `separate` step runs beside the run that it belongs to, as `sync` does in the DAG `feature_sync`.
    """

    step: str
    state: Literal["running", "done", "failed", "skipped"]
    started_at: AwareDatetime
    seconds: float | None = None
    separate: bool = False


class StepTimes(BaseModel):
    """`steps.json` of a run: its steps in the order of their last start."""

    steps: list[StepTime] = []


def load_times(run: str) -> dict[str, StepTime]:
    """Return the last start of each step by its name."""
    data = read_file(join(run, DURATIONS))
    try:
        found = [] if data is None else StepTimes.model_validate_json(data).steps
    except ValidationError:
        found = []
    return {each.step: each for each in found}


def run_step(
    settings: Settings,
    run: str,
    step: Step,
    *,
    separate: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> float:
    """Run one step and mark it as done; returns its duration in seconds.

    With `separate`, the run goes on or has ended meanwhile: it does not fail by this step.
    """
    remove_marker(run, step.name)
    inputs = input_digests(run, step)
    began, started_at = time.monotonic(), now()
    entry = StepTime(step=step.name, state="running", started_at=started_at, separate=separate)
    _note(run, entry)
    try:
        # More threads than these wait for each other: small matrices cost six times as much on a busy machine. And sums
        # would depend on the machine's number of cores.
        failures = record_failure(run, step.name, separate=separate)
        with failures, threadpool_limits(settings.training_threads, user_api="blas"):
            step.run(settings, run)
    except NothingToDoError:
        _note(run, entry.model_copy(update={"state": "skipped"}))
        raise
    except BaseException:
        seconds = round(time.monotonic() - began, 3)
        _note(run, entry.model_copy(update={"state": "failed", "seconds": seconds}))
        raise
    seconds = round(time.monotonic() - began, 3)
    write_marker(settings, run, step, inputs=inputs, started_at=started_at, seconds=seconds)
    _note(run, entry.model_copy(update={"state": "done", "seconds": seconds}))
    return seconds


def run_steps(settings: Settings, run: str, chosen: Sequence[Step], say: Say, *, resume: bool) -> None:
    """Run steps one after the other; with `resume` without those whose outputs are up to date."""
    for number, step in enumerate(chosen, start=1):
        head = f"[{number}/{len(chosen)}] {step.name}"
        reason = find_change(settings, run, step) if resume else None
        if resume and reason is None:
            say(f"{head} skipped: done before, and nothing has changed")
            continue
        say(head if reason is None else f"{head}: {reason}")
        say(f"{head} done in {run_step(settings, run, step):.1f} s")


@dataclass(frozen=True)
class StepState:
    """A step of a run: when it ran, for how long, and what `--resume` would do with it, and why."""

    step: str
    state: str
    started_at: datetime | None
    seconds: float | None
    with_resume: str


def explain_steps(settings: Settings, run: str, chosen: Sequence[Step]) -> list[StepState]:
    """Return the states of the steps, in their order."""
    times = load_times(run)
    changing: dict[str, str] = {}
    found = []
    for step in chosen:
        reason = find_change(settings, run, step)
        if reason is None:
            reason = next(
                (f"runs again if {changing[name]} changes {name}" for name in step.inputs if name in changing), None
            )
            verdict = "skipped" if reason is None else reason
        else:
            verdict = f"runs: {reason}"
        if reason is not None:
            changing |= dict.fromkeys(step.outputs, step.name)
        found.append(_state_of(run, step, times.get(step.name), verdict))
    return found


def step_table(states: Sequence[StepState]) -> list[str]:
    """Return a line per step, below a line of titles."""
    width = max(len(each.step) for each in states) + 1
    lines = [f"{'step':<{width}} {'state':<11} {'started':<20} {'took':>9}  with --resume"]
    for each in states:
        started = "-" if each.started_at is None else f"{each.started_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        took = "-" if each.seconds is None else f"{each.seconds:,.1f} s"
        lines.append(f"{each.step:<{width}} {each.state:<11} {started:<20} {took:>9}  {each.with_resume}")
    return lines


def _state_of(run: str, step: Step, time_: StepTime | None, verdict: str) -> StepState:
    if time_ is None:
        return StepState(step.name, "not begun", None, None, verdict)
    has_ended = time_.state in {"failed", "skipped"} or is_done(run, step.name)
    state = time_.state if has_ended else "unfinished"
    return StepState(step.name, state, time_.started_at, time_.seconds, verdict)


def _note(run: str, entry: StepTime) -> None:
    times = load_times(run)
    times.pop(entry.step, None)
    listed = StepTimes(steps=[*times.values(), entry])
    write_file(join(run, DURATIONS), listed.model_dump_json(indent=1).encode())
