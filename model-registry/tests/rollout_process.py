"""Processes that drive rollouts until they are killed: `python rollout_process.py DATABASE_URL ARTIFACT_FOLDER`.

For each line of its input it forks one, prints its number, and waits for its end. With each look, its clock goes a
minute further, and its figures allow every step at once.
"""

import os
import sys
from datetime import UTC, datetime, timedelta

from contracts.deployments import DeploymentMode, ReplicaReport, ReplicaTraffic
from model_registry.artifacts import EVALUATION, ArtifactStore
from model_registry.bundle_checks.service import WORK, BundleChecks, default_slots
from model_registry.database import Database
from model_registry.deployments.gate import Gate, GateRules
from model_registry.deployments.replicas import Replicas
from model_registry.deployments.service import Deployments
from model_registry.deployments.stored_bundles import StoredBundles
from model_registry.evaluations.sandbox_jobs import PartScoring
from model_registry.evaluations.service import Evaluations
from model_registry.metrics import Metrics
from model_registry.rollouts.driver import RolloutDriver
from model_registry.rollouts.rules import RolloutRules
from model_registry.rollouts.sequential_test import Arm, Stratum
from model_registry.rollouts.service import Rollouts
from model_registry.sandbox.client import Sandbox
from model_registry.scratch import Scratch
from model_registry.settings import Settings
from model_registry.tables import SCHEMA
from model_registry.webhooks.outbox import Outbox
from servicekit.database import open_database

SOUND = ReplicaTraffic(answers=1000, errors=1, fallback_answers=2, p99_ms=20.0)
SIDES: tuple[tuple[DeploymentMode, str], ...] = (("primary", "1"), ("canary", "2"))


class GrowingOutcomes:
    """The same many clicks on both sides, more with each look."""

    def read(self, version: str, since: datetime) -> Stratum:
        """Return larger sums each time, in each process."""
        exposures = int(datetime.now(UTC).timestamp() * 1_000_000)
        return Stratum(Arm(exposures, exposures // 25), Arm(exposures, exposures // 25))


def main(database_url: str, artifacts: str) -> None:
    """Start a process for each line; one alone spends seconds on its imports."""
    for _ in sys.stdin:
        if (process := os.fork()) == 0:
            drive(database_url, artifacts)
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()
        os.waitpid(process, 0)


def drive(database_url: str, artifacts: str) -> None:
    """Look at the rollouts again and again."""
    settings = Settings()
    database = Database(open_database(database_url, SCHEMA))
    store, scratch, slots, sandbox = ArtifactStore(artifacts), Scratch(), default_slots(), Sandbox(WORK)
    parts = ArtifactStore(artifacts, EVALUATION)
    evaluations = Evaluations(database, parts, PartScoring(sandbox, slots), scratch)
    rules = GateRules(
        metric=settings.model_gate_metric,
        tolerance=settings.model_gate_tolerance,
        paired_tolerance=settings.model_gate_paired_tolerance,
        min_queries=settings.model_gate_min_queries,
        best_of=settings.model_gate_best_of,
    )
    bundles = StoredBundles(store, BundleChecks(database, sandbox, slots), scratch)
    metrics = Metrics()
    deployments = Deployments(
        database, store, bundles, Gate(rules, database, evaluations), metrics, outbox=Outbox(metrics)
    )
    passed = timedelta()

    def now() -> datetime:
        # Each process goes on from the real time, so that claims of a killed one end soon.
        return datetime.now(UTC) + passed

    rollouts = Rollouts(database, deployments, is_measured=True, now=now)
    replicas = Replicas(database)
    driver = RolloutDriver(
        database, rollouts, replicas, GrowingOutcomes(), rules=RolloutRules(burn_in=timedelta(0)), now=now
    )
    while True:
        passed += timedelta(minutes=1)
        for mode, version in SIDES:
            report = ReplicaReport(mode=mode, version=version, state="serving", since=datetime.now(UTC), traffic=SOUND)
            replicas.put("ranker", "api-1", report)
        driver.review()


if __name__ == "__main__":
    main(*sys.argv[1:])
