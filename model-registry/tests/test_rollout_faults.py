"""The driver on SQLite, with a clock of the test: one rollout that fails stops no other, and no report is lost."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update

import model_registry
import monitoring.testing
from contracts.deployments import DeploymentMode, ReplicaReport, ReplicaTraffic
from model_registry.artifacts import EVALUATION, ArtifactStore
from model_registry.bundle_checks.service import WORK, BundleChecks
from model_registry.database import Database
from model_registry.deployments.convergence import ConvergenceWatch
from model_registry.deployments.gate import Gate, GateRules
from model_registry.deployments.replicas import Replicas
from model_registry.deployments.service import Deployments
from model_registry.deployments.stored_bundles import StoredBundles
from model_registry.evaluations.sandbox_jobs import PartScoring
from model_registry.evaluations.service import Evaluations
from model_registry.metrics import Metrics
from model_registry.rollouts.driver import RolloutDriver
from model_registry.rollouts.evidence import Evidence
from model_registry.rollouts.rules import RolloutRules
from model_registry.rollouts.sequential_test import Arm, Stratum
from model_registry.rollouts.service import Rollouts
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
class Lab:
    """A rollout of each model whose first step has lasted long enough; all slots for checks of bundles are taken."""

    engine: Engine
    folder: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.database = Database(self.engine)
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
        settings, metrics, slots = Settings(), Metrics(), Slots(0, waiting=0)
        scratch, sandbox = Scratch(), Sandbox(WORK)
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
        driver = RolloutDriver(
            self.database,
            Rollouts(self.database, deployed, is_measured=True, now=lambda: self.now),
            self.replicas,
            EqualOutcomes(),
            rules=RolloutRules(burn_in=timedelta(0)),
            now=lambda: self.now,
        )
        driver.review()
        scratch.close()
        with self.engine.begin() as connection:
            return {row.model: row for row in connection.execute(select(rollouts))}

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
    yield Lab(engine, tmp_path)
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
