"""Drives the open rollouts: looks at their figures and does what they decide. One registry at a time drives one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from starlette.concurrency import run_in_threadpool

from contracts.deployments import ReplicaTraffic
from model_registry.database import Database
from model_registry.deployments import queries as deployment_queries
from model_registry.deployments.replicas import Replicas
from model_registry.errors import (
    BusyError,
    DeploymentRefusedError,
    NotFoundError,
    NothingToRollBackError,
    OvertakenError,
    RemovedVersionError,
    UnavailableError,
    UnsignedVersionError,
)
from model_registry.rollouts import queries
from model_registry.rollouts.decision import Decision, Progress, Signals, Verdict, decide
from model_registry.rollouts.evidence import Evidence
from model_registry.rollouts.guardrails import Traffic, sum_traffic
from model_registry.rollouts.outcomes import Outcomes, OutcomesUnavailableError
from model_registry.rollouts.rules import RolloutRules
from model_registry.rollouts.service import Move, Rollouts
from servicekit.background import report_failure

INTERVAL_SECONDS = 15.0
# Longer than a look and a step; a registry that is killed holds its rollouts up for so long.
CLAIM = timedelta(seconds=60)


class RolloutDriver:
    """Looks at all open rollouts. `now` is the clock, `outcomes` is None where no rollout can be started."""

    def __init__(
        self,
        database: Database,
        rollouts: Rollouts,
        replicas: Replicas,
        outcomes: Outcomes | None,
        *,
        rules: RolloutRules,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._rollouts = rollouts
        self._replicas = replicas
        self._outcomes = outcomes
        self._rules = rules
        self._now = now

    async def step(self) -> None:
        """Look once."""
        await run_in_threadpool(self.review)

    def review(self) -> None:
        """Look once, in this thread; raises `UnavailableError`."""
        self._rollouts.report_rollbacks()
        with self._database.transaction("claim_rollouts") as connection:
            claimed = queries.claim(connection, self._now(), CLAIM)
        for rollout_id in claimed:
            try:
                self._review(rollout_id)
            except (OvertakenError, NothingToRollBackError):
                # A person or a deployment has come between: the next look sees what is there now.
                self._release(rollout_id)
            except Exception as error:  # noqa: BLE001 - one rollout must not stop the others
                report_failure("rollouts", error)
                self._release(rollout_id)

    def _release(self, rollout_id: int) -> None:
        with self._database.transaction("release_rollout") as connection:
            queries.release(connection, rollout_id)

    def _review(self, rollout_id: int) -> None:
        with self._database.transaction("get_rollout") as connection:
            seen = queries.get(connection, rollout_id)
            canary = deployment_queries.active(connection, seen.model, "canary")
            primary = deployment_queries.active(connection, seen.model, "primary")
            if primary is not None and _is_refreshed(seen, primary):
                queries.change(connection, seen, primary_version=primary.version)
                seen = queries.get(connection, rollout_id)
        at = self._now()
        evidence, fault = self._observe(seen, at)
        signals = Signals(*self._traffic(seen), fault)
        interference = _interference(seen, canary, primary)
        # Beside another model, clicks say nothing; errors still do.
        judged = evidence if interference is None else Evidence()
        verdict = decide(_progress(seen), judged, signals, self._rules, at)
        if interference is not None and verdict.decision is not Decision.ROLL_BACK:
            verdict = Verdict(Decision.HOLD, interference)
        self._carry_out(seen, Move.by_itself(seen, evidence, verdict.reason, at), verdict.decision)

    def _observe(self, seen: Row[Any], at: datetime) -> tuple[Evidence, str | None]:
        """Return the evidence after a look at the sums, and why they can't be read."""
        evidence = Evidence.model_validate(seen.evidence)
        if self._outcomes is None:
            return evidence, "FEATURE_SYNC_URL is not set"
        try:
            counts = self._outcomes.read(str(seen.version), seen.created_at)
        except OutcomesUnavailableError as error:
            return evidence, str(error)
        return evidence.observe(counts, seen.step_since, at, self._rules), None

    def _traffic(self, seen: Row[Any]) -> tuple[Traffic | None, Traffic | None]:
        reported = [row for row in self._replicas.of(seen.model) if row.traffic is not None]
        canary = [row for row in reported if row.mode == "canary" and row.version == str(seen.version)]
        primary = [row for row in reported if row.mode == "primary"]
        return _sum(canary), _sum(primary)

    def _carry_out(self, seen: Row[Any], move: Move, decision: Decision) -> None:
        if decision is Decision.ROLL_BACK:
            self._rollouts.roll_back(seen, move)
        elif seen.state == "holding":
            # Only a person ends that, and the reason stays what was asked; the figures go on.
            asked = replace(move, reason=seen.reason)
            self._rollouts.note(seen, asked)
            self._rollouts.ask(seen, asked)
        elif decision is Decision.HOLD:
            self._rollouts.hold(seen, move)
        elif decision is Decision.WAIT:
            self._rollouts.note(seen, move)
        else:
            self._advance(seen, move)

    def _advance(self, seen: Row[Any], move: Move) -> None:
        try:
            self._rollouts.advance(seen, move)
        except (DeploymentRefusedError, RemovedVersionError, UnsignedVersionError, NotFoundError) as error:
            self._rollouts.hold(seen, replace(move, reason=f"the next step was rejected: {error}"))
        except (BusyError, UnavailableError) as error:
            # Nothing was changed: the next look tries again.
            self._rollouts.note(seen, replace(move, reason=f"the next step waits: {error}"))


def _progress(seen: Row[Any]) -> Progress:
    return Progress(
        steps=seen.steps,
        step=seen.step,
        every=timedelta(seconds=seen.every_seconds),
        step_since=seen.step_since,
        asked_at=seen.asked_at,
    )


def _is_refreshed(seen: Row[Any], primary: Row[Any]) -> bool:
    """Return whether a refresh is the primary by now: its model is the same."""
    return bool(primary.trained == seen.primary_trained and primary.version != seen.primary_version)


def _interference(seen: Row[Any], canary: Row[Any] | None, primary: Row[Any] | None) -> str | None:
    """Return what has been deployed beside the rollout, so that its figures say nothing any more."""
    if primary is None or primary.trained != seen.primary_trained:
        now = "nothing" if primary is None else f"version {primary.version}"
        return f"{now} is the primary, and not version {seen.primary_version} any more"
    share = seen.steps[seen.step] / 100
    if canary is None:
        return "the canary was withdrawn"
    if canary.version != seen.version or canary.rollout != share:
        return f"the canary was changed: it is version {canary.version} with {canary.rollout:.0%} of the users"
    return None


def _sum(rows: Sequence[Row[Any]]) -> Traffic | None:
    return sum_traffic([ReplicaTraffic.model_validate(row.traffic) for row in rows])
