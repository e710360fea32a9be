"""The driver on SQLite, with a clock of the test.

One rollout that fails stops no other, no report is lost, what can't be asked is waited for, and a person's answer
counts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import Engine, insert, select, update

import model_registry
import monitoring.testing
from contracts.deployments import DeploymentMode, ReplicaReport, ReplicaTraffic
from contracts.rollouts import RolloutAnswer
from model_registry.artifacts import EVALUATION, ArtifactStore
from model_registry.bundle_checks.service import WORK, BundleChecks
from model_registry.database import Database
from model_registry.deployments.convergence import ConvergenceWatch
from model_registry.deployments.gate import Gate, GateRules
from model_registry.deployments.replicas import Replicas
from model_registry.deployments.service import Author, Deployments
from model_registry.deployments.stored_bundles import StoredBundles
from model_registry.evaluations.sandbox_jobs import PartScoring
from model_registry.evaluations.service import Evaluations
from model_registry.metrics import Metrics
from model_registry.rollouts.driver import RolloutDriver
from model_registry.rollouts.evidence import Evidence
from model_registry.rollouts.outcomes import Outcomes, OutcomesUnavailableError
from model_registry.rollouts.rules import RolloutRules
from model_registry.rollouts.sequential_test import Arm, Stratum
from model_registry.rollouts.service import DECISION_NEEDED, Move, Rollouts
from model_registry.sandbox.client import Sandbox
from model_registry.sandbox.slots import Slots
from model_registry.scratch import Scratch
from model_registry.settings import Settings
from model_registry.tables import SCHEMA, deployments, replicas, rollouts, versions
from model_registry.webhooks.outbox import Outbox
from monitoring.testing import Captured
from servicekit.database import migrate, open_database

SIDES: tuple[tuple[DeploymentMode, int, float], ...] = (("primary", 1, 1.0), ("canary", 2, 0.1))
MODELS = ("alpha", "beta")


@dataclass
class EqualOutcomes:
    """Enough of the same clicks on both sides, more with each look."""

    exposures: int = 10_000_000

    def read(self, version: str, since: datetime) -> Stratum:
        """Return the sums."""
        self.exposures += 10_000_000
        return Stratum(Arm(self.exposures, self.exposures // 25), Arm(self.exposures, self.exposures // 25))


@dataclass
class UnavailableOutcomes:
    """A feature-sync that is busy; `meanwhile` is what else happens at the first question."""

    meanwhile: Callable[[], object] = lambda: None

    def read(self, version: str, since: datetime) -> Stratum:
        """Answer as it does while its database is busy."""
        self.meanwhile()
        self.meanwhile = lambda: None
        raise OutcomesUnavailableError("503: the database is busy")


@dataclass
class Lab:
    """A rollout of each model whose first step has lasted long enough; all slots for checks of bundles are taken."""

    engine: Engine
    folder: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    outcomes: Outcomes = field(default_factory=EqualOutcomes)

    def __post_init__(self) -> None:
        self.database = Database(self.engine)
        self.scratch = Scratch()
        self.replicas = Replicas(self.database)
        with self.engine.begin() as connection:
            for model in MODELS:
                for mode, number, share in SIDES:
                    row = {"model": model, "version": number, "created_at": self.now}
                    bundle = {"sha256": self._store().put(self._bundle(model, number), model), "size": 1}
                    connection.execute(insert(versions).values(manifest={"version": "run"}, **bundle, **row))
                    connection.execute(insert(deployments).values(mode=mode, rollout=share, state="active", **row))
                began = self.now - timedelta(hours=1)
                connection.execute(
                    insert(rollouts).values(
                        model=model,
                        version=2,
                        primary_version=1,
                        primary_trained=1,
                        steps=[10, 50, 100],
                        step=0,
                        every_seconds=60.0,
                        state="running",
                        reason="started",
                        created_at=began,
                        step_since=began,
                        evidence=Evidence().model_dump(mode="json"),
                    )
                )
        for model in MODELS:
            self.report_answers(model)

    def report_answers(self, model: str, canary_errors: int = 1) -> None:
        """Let a replica report on both sides."""
        for mode, number, _ in SIDES:
            errors = canary_errors if mode == "canary" else 1
            traffic = ReplicaTraffic(answers=1000, errors=errors, fallback_answers=0, p99_ms=20.0)
            said = ReplicaReport(mode=mode, version=str(number), state="serving", since=self.now, traffic=traffic)
            self.replicas.put(model, "api-1", said)

    def change(self, model: str, **values: Any) -> None:
        """Change the row of a rollout."""
        with self.engine.begin() as connection:
            connection.execute(update(rollouts).where(rollouts.c.model == model).values(**values))

    def look(self) -> dict[str, Any]:
        """Let a new driver look once, and return the rollouts by model."""
        rules = RolloutRules(burn_in=timedelta(0))
        RolloutDriver(
            self.database, self.rollouts, self.replicas, self.outcomes, rules=rules, now=lambda: self.now
        ).review()
        with self.engine.begin() as connection:
            return {row.model: row for row in connection.execute(select(rollouts))}

    def answer(self, action: Literal["wait", "stop"]) -> None:
        """Let a person answer the rollout of the first model."""
        self.rollouts.answer(MODELS[0], "1", RolloutAnswer(action=action), Author("li.wei", None))

    @cached_property
    def rollouts(self) -> Rollouts:
        """The service, in a registry of its own."""
        settings, metrics, slots = Settings(), Metrics(), Slots(0, waiting=0)
        scratch, sandbox = self.scratch, Sandbox(WORK)
        scoring = PartScoring(sandbox, slots)
        evaluations = Evaluations(self.database, ArtifactStore(str(self.folder), EVALUATION), scoring, scratch)
        rules = GateRules(
            metric=settings.model_gate_metric,
            tolerance=settings.model_gate_tolerance,
            paired_tolerance=settings.model_gate_paired_tolerance,
            min_queries=settings.model_gate_min_queries,
            best_of=settings.model_gate_best_of,
        )
        bundles = StoredBundles(self._store(), BundleChecks(self.database, sandbox, slots), scratch)
        gate = Gate(rules, self.database, evaluations)
        deployed = Deployments(self.database, self._store(), bundles, gate, metrics, outbox=Outbox(metrics))
        return Rollouts(self.database, deployed, is_measured=True, now=lambda: self.now)

    def _store(self) -> ArtifactStore:
        return ArtifactStore(str(self.folder))

    def _bundle(self, model: str, number: int) -> Path:
        path = self.folder / f"{model}-{number}.tar.gz"
        path.write_text(f"{model} {number}", "utf-8")
        return path


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    engine = open_database(f"sqlite:///{tmp_path}/recsys.db", SCHEMA)
    migrate(engine, SCHEMA, Path(str(model_registry.__file__)).parent / "migrations")
    made = Lab(engine, tmp_path)
    yield made
    made.scratch.close()
    engine.dispose()


@pytest.fixture
def reports() -> Iterator[Captured]:
    with monitoring.testing.captured() as captured:
        yield captured


def test_a_rollout_whose_look_fails_is_reported_and_released_and_the_others_are_driven(
    lab: Lab, reports: Captured
) -> None:
    lab.change("alpha", evidence=["unreadable"])
    lab.report_answers("beta", canary_errors=900)
    seen = lab.look()
    assert (seen["alpha"].state, seen["alpha"].claimed_until) == ("running", None)
    assert seen["beta"].state == "rolled_back"
    assert len(reports.of("api.background_failed")) == 1


def test_a_rollback_is_reported_once_also_if_its_process_was_killed_before_the_report(
    lab: Lab, reports: Captured
) -> None:
    # What the process that was killed has committed.
    lab.change("alpha", state="rolled_back", reason="errors", ended_at=lab.now)
    lab.report_answers("beta", canary_errors=900)
    for _ in range(2):
        lab.look()
    said = reports.of("model.deployment_failed")
    assert [each.tags["model_name"] for each in said] == ["alpha", "beta"]
    assert "rollout 1 of version 2, at 10 %: errors" in said[0].message


def test_a_model_whose_replicas_can_not_be_read_stops_the_watch_of_no_other(lab: Lab, reports: Captured) -> None:
    with lab.engine.begin() as connection:
        unreadable = (replicas.c.model == "alpha") & (replicas.c.mode == "canary")
        connection.execute(update(replicas).where(unreadable).values(mode="a later word"))
        connection.execute(update(replicas).where(replicas.c.model == "beta").values(version="7"))
    clock = [0.0]
    watch = ConvergenceWatch(lab.database, lab.replicas, 60, clock=lambda: clock[0])
    for clock[0] in (0.0, 61.0):
        watch.review()
    assert {each.tags["model_name"] for each in reports.of("model.not_converged")} == {"beta"}
    assert len(reports.of("api.background_failed")) > 0


def test_what_can_not_be_asked_or_checked_now_is_waited_for_and_decides_nothing(lab: Lab, reports: Captured) -> None:
    # The first look begins to measure.
    lab.look()
    first = lab.look()["alpha"]
    assert (first.state, first.step, first.claimed_until) == ("running", 0, None)
    assert first.reason.startswith("the next step waits: ")
    lab.outcomes = UnavailableOutcomes()
    second = lab.look()["alpha"]
    assert (second.state, second.step) == ("running", 0)
    assert second.reason == "feature-sync can't be asked for clicks: 503: the database is busy"
    with lab.engine.begin() as connection:
        states = {row.state for row in connection.execute(select(deployments))}
        # So does a silent replica of the API.
        connection.execute(update(replicas).values(reported_at=lab.now - timedelta(minutes=3)))
    lab.outcomes = EqualOutcomes(30_000_000)
    silent = lab.look()["alpha"]
    assert (silent.state, silent.reason) == (
        "running",
        "no replica has lately reported the answers of the canary and the primary",
    )
    assert states == {"active"}
    assert not reports.of("model.deployment_failed") + reports.of(DECISION_NEEDED)


@pytest.mark.parametrize(
    ("answer", "state", "step"),
    [
        (lambda lab: lab.answer("wait"), "running", 0),
        (lambda lab: lab.answer("stop"), "stopped", 0),
        # What `continue` writes; the bundles here can't be deployed.
        (lambda lab: lab.change("alpha", step=1, step_since=lab.now), "running", 1),
    ],
    ids=["wait", "stop", "continue"],
)
def test_a_question_does_not_override_what_a_person_has_answered_during_the_look(
    lab: Lab, reports: Captured, answer: Callable[[Lab], None], state: str, step: int
) -> None:
    for model in MODELS:
        lab.change(model, step_since=lab.now - timedelta(days=2))
    lab.outcomes = UnavailableOutcomes(lambda: answer(lab))
    seen = lab.look()
    assert (seen["alpha"].state, seen["alpha"].step, seen["alpha"].claimed_until) == (state, step, None)
    assert seen["beta"].state == "holding"
    assert [each.tags["model_name"] for each in reports.of(DECISION_NEEDED)] == ["beta"]


def test_a_question_that_comes_after_its_answer_is_withdrawn(lab: Lab, reports: Captured) -> None:
    lab.change("alpha", state="holding")
    with lab.engine.begin() as connection:
        seen = connection.execute(select(rollouts).where(rollouts.c.model == "alpha")).one()
    move = Move.by_itself(seen, Evidence(), "not decided", lab.now)
    lab.rollouts.ask(seen, move)
    assert DECISION_NEEDED not in {each.point_id for each in reports.recovered}
    lab.change("alpha", asked_at=lab.now)
    with lab.engine.begin() as connection:
        asked = connection.execute(select(rollouts).where(rollouts.c.model == "alpha")).one()
    lab.answer("stop")
    reports.recovered.clear()
    lab.rollouts.ask(asked, move)
    assert DECISION_NEEDED in {each.point_id for each in reports.recovered}
