"""Starts rollouts, takes their steps and ends them: what is in service and the rollout change in one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Connection, Row

import monitoring
from contracts.deployments import DeploymentRequest, DeploymentStage
from contracts.rollouts import ALL_USERS, RolloutAnswer, RolloutRequest
from model_registry.database import Database, lock_model
from model_registry.deployments import queries as deployment_queries
from model_registry.deployments.service import Author, Deployments, Within
from model_registry.errors import OvertakenError, RolloutConflictError
from model_registry.rollouts import queries
from model_registry.rollouts.decision import describe_curves
from model_registry.rollouts.evidence import Evidence

DECISION_NEEDED = "model.rollout_needs_decision"


@dataclass(frozen=True)
class Move:
    """Why a rollout changes, by what figures, and who decided."""

    evidence: Evidence
    author: Author
    reason: str
    answered_by: str | None
    # When the figures were looked at.
    reviewed_at: datetime | None

    @classmethod
    def by_itself(cls, seen: Row[Any], evidence: Evidence, reason: str, at: datetime) -> Self:
        """Return what the figures decide; it is done in the name of whoever has started the rollout."""
        return cls(evidence, Author(seen.started_by, None), reason, seen.answered_by, at)

    @classmethod
    def by_person(cls, seen: Row[Any], author: Author, what: str) -> Self:
        """Return what a person decides."""
        evidence = Evidence.model_validate(seen.evidence)
        return cls(evidence, author, f"{what}{_by(author)}", author.name, seen.reviewed_at)


class Rollouts:
    """The rollouts of all models."""

    def __init__(
        self, database: Database, deployments: Deployments, *, is_measured: bool, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._deployments = deployments
        self._is_measured = is_measured
        self._now = now
        # What this process has asked; after a restart it asks again, in case that the question was lost.
        self._asked: set[str] = set()

    def start(self, model: str, wanted: RolloutRequest, author: Author) -> Row[Any]:
        """Deploy the canary with the first share; raises as `Deployments.deploy`, and `RolloutConflictError`."""
        if not self._is_measured:
            raise RolloutConflictError("FEATURE_SYNC_URL is not set: a rollout is judged by the outcomes of exposures")
        with self._database.transaction("find_rollout") as connection:
            _check_none_open(connection, model)
        started_at, reason = self._now(), f"started{_because(author)}"

        def record(connection: Connection, canary: Row[Any]) -> None:
            _check_none_open(connection, model)
            primary = deployment_queries.active(connection, model, "primary")
            if primary is None:
                raise OvertakenError("no version is in service beside which a canary could stand")
            queries.record(
                connection,
                model=model,
                version=canary.version,
                primary_version=primary.version,
                primary_trained=primary.trained,
                steps=wanted.steps,
                step=0,
                every_seconds=wanted.every_seconds,
                state="running",
                reason=reason,
                started_by=author.name,
                created_at=started_at,
                step_since=started_at,
                evidence=Evidence().model_dump(mode="json"),
            )

        first = DeploymentRequest(
            version=wanted.version,
            mode="canary",
            rollout=wanted.steps[0] / 100,
            expected_active=wanted.expected_active,
            reason=wanted.reason,
        )
        note = f"rollout, step 1 of {len(wanted.steps)}{_because(author)}"
        self._deployments.deploy(model, first, Author(author.name, note), within=record)
        with self._database.transaction("get_rollout") as connection:
            return queries.history(connection, model)[0]

    def history(self, model: str) -> Sequence[Row[Any]]:
        """Return the latest rollouts, newest first."""
        with self._database.transaction("list_rollouts") as connection:
            return queries.history(connection, model)

    def answer(self, model: str, rollout_id: str, wanted: RolloutAnswer, author: Author) -> Row[Any]:
        """Carry out what a person decides; raises `RolloutConflictError`, and `continue` raises as a deployment."""
        with self._database.transaction("get_rollout") as connection:
            seen = queries.get_of_model(connection, model, rollout_id)
        if seen.state not in queries.OPEN:
            raise RolloutConflictError(f"rollout {rollout_id} has ended: {seen.state}")
        if wanted.action == "continue":
            self.advance(seen, Move.by_person(seen, author, "continued"))
        elif wanted.action == "stop":
            self.end(seen, Move.by_person(seen, author, "stopped"), "stopped")
        else:
            self._wait(seen, author)
        monitoring.recovered(DECISION_NEEDED, model_name=model)
        with self._database.transaction("get_rollout") as connection:
            return queries.get(connection, seen.id)

    def advance(self, seen: Row[Any], move: Move) -> None:
        """Take the next step; the last one makes the version the primary. Raises as `Deployments.deploy`."""
        step, now = seen.step + 1, self._now()
        is_last = seen.steps[step] == ALL_USERS
        evidence = move.evidence.end_step(seen.steps[seen.step], seen.step_since)
        write = _writer(
            seen,
            replace(move, evidence=evidence),
            step=step,
            step_since=now,
            state="completed" if is_last else "running",
            ended_at=now if is_last else None,
            asked_at=None,
        )
        wanted = DeploymentRequest(
            version=str(seen.version),
            mode="primary" if is_last else "canary",
            rollout=None if is_last else seen.steps[step] / 100,
            expected_active=str(seen.primary_version),
        )
        note = f"rollout {seen.id}, step {step + 1} of {len(seen.steps)}: {move.reason}"
        self._deployments.deploy(seen.model, wanted, Author(move.author.name, note), within=write)
        if is_last:
            monitoring.recovered(DECISION_NEEDED, model_name=seen.model)

    def roll_back(self, seen: Row[Any], move: Move) -> None:
        """Withdraw the canary, because a guardrail is broken, and report that."""
        self.end(seen, replace(move, author=Author(None, None)), "rolled_back")
        self.report_rollbacks()

    def report_rollbacks(self) -> None:
        """Report the rollbacks that are not, also those of a process that was killed before it could."""
        with self._database.transaction("list_rollbacks") as connection:
            unreported = queries.unreported_rollbacks(connection)
        for row in unreported:
            monitoring.report(
                "model.deployment_failed",
                occurrence=f"rollout/{row.id}",
                details=f"rollout {row.id} of version {row.version}, at {row.steps[row.step]} %: {row.reason}",
                model_name=row.model,
                model_version=str(row.version),
                target=f"{row.model}/canary",
                stage=DeploymentStage.ROLLOUT,
            )
            monitoring.recovered(DECISION_NEEDED, model_name=row.model)
            with self._database.transaction("note_report") as connection:
                queries.note_rollback_report(connection, row.id, self._now())

    def end(self, seen: Row[Any], move: Move, state: str) -> None:
        """Withdraw the canary, unless it is another version's by now, and end the rollout."""
        write = _writer(seen, move, state=state, ended_at=self._now())
        with self._database.transaction("find_canary") as connection:
            canary = deployment_queries.active(connection, seen.model, "canary")
        if canary is not None and canary.version == seen.version:
            note = Author(move.author.name, f"rollout {seen.id}: {move.reason}")
            self._deployments.withdraw(seen.model, "canary", note, within=write)
            return
        with self._database.transaction("end_rollout") as connection:
            lock_model(connection, seen.model)
            write(connection, seen)

    def hold(self, seen: Row[Any], move: Move) -> None:
        """Stay at this step until a person decides, and ask for that."""
        self.note(seen, move, state="holding")
        self.ask(seen, move)

    def ask(self, seen: Row[Any], move: Move) -> None:
        """Report that a person has to decide, once in this process; all processes name the same occurrence."""
        question = f"{seen.id}/{seen.step}/{seen.asked_at}"
        if question in self._asked:
            return
        self._asked.add(question)
        percent = seen.steps[seen.step]
        monitoring.report(
            DECISION_NEEDED,
            occurrence=question,
            details=f"version {seen.version} at {percent} % of the users: {move.reason}. Clicks per exposure, "
            f"{describe_curves(move.evidence, percent)}",
            model_name=seen.model,
            model_version=str(seen.version),
            primary_version=str(seen.primary_version),
            rollout_id=str(seen.id),
            step=f"{seen.id}/{seen.step}",
            percent=percent,
        )
        with self._database.transaction("get_rollout") as connection:
            present = queries.get(connection, seen.id)
        if (present.step, present.asked_at) != (seen.step, seen.asked_at) or present.state != "holding":
            # A person's answer, whose recovery came before the question.
            monitoring.recovered(DECISION_NEEDED, model_name=seen.model)

    def note(self, seen: Row[Any], move: Move, **values: object) -> None:
        """Store what a look at the figures has found, and give the claim back."""
        with self._database.transaction("note_rollout") as connection:
            _writer(seen, move, **values)(connection, seen)

    def _wait(self, seen: Row[Any], author: Author) -> None:
        with self._database.transaction("wait_rollout") as connection:
            reason = f"waits{_by(author)}"
            queries.change(
                connection, seen, state="running", asked_at=self._now(), reason=reason, answered_by=author.name
            )


def _writer(seen: Row[Any], move: Move, **values: object) -> Within:
    """Return what changes the rollout in the transaction that changes what is in service."""

    def write(connection: Connection, _deployment: Row[Any]) -> None:
        queries.change(
            connection,
            seen,
            evidence=move.evidence.model_dump(mode="json"),
            reason=move.reason,
            answered_by=move.answered_by,
            reviewed_at=move.reviewed_at,
            claimed_until=None,
            **values,
        )

    return write


def _check_none_open(connection: Connection, model: str) -> None:
    if (found := queries.find_open(connection, model)) is not None:
        raise RolloutConflictError(
            f"rollout {found.id} of {model} {found.version} is {found.state}: answer or stop it first"
        )


def _because(author: Author) -> str:
    return f": {author.reason}" if author.reason else ""


def _by(author: Author) -> str:
    return (f" by {author.name}" if author.name else "") + _because(author)
