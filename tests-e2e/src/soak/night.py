"""The stand-in for the nightly runs: what the gateway, the registry and feature-sync see of them, without the training.

`python -m soak.night FOLDER` reads one command a line from its input and answers each by one line of JSON. It lives as
long as the run does, as Airflow's scheduler does, so that it delivers what waits while the gateway is down.
"""

import json
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

import monitoring
from contracts.bundle import pack, read_manifest, write_manifest
from contracts.features import USER_FEATURES
from contracts.snapshot import write_snapshot
from contracts.user_blob import History, UserBlob
from monitoring import MonitoringSettings
from pipeline.errors import PipelineError
from pipeline.publish import deploy, deploy_refresh, push, served_model, sync_snapshot
from ranking.testing import FIRST_DATASET_ID, Size, tiny_bundle
from verify.bundles import damage

MODEL = "ranker"
DAG, TASK = "recommendation_pipeline", "train"
USERS = 500
SIZE = Size(datasets=120)
_FLUSH_SECONDS = 3.0
_HISTORY = 20


class Settings(BaseSettings):
    """Where the services are."""

    registry_url: Annotated[str, Field(description="The registry")]
    sync_url: Annotated[str, Field(description="feature-sync")]
    admin_token: Annotated[SecretStr, Field(description="Bearer token of both")]
    artifacts: Annotated[Path, Field(description="The registry's folder of bundles, whose files a fault damages")]


class Night:
    """The runs; every bundle differs from the others in its time alone, so that it becomes a version of its own."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._settings = settings
        self._made = 0
        tiny_bundle(folder / "contents", size=SIZE)

    def succeed(self, run_id: str) -> None:
        """Deploy a model, sync a snapshot, and report the success."""
        version = self._push(None)
        deploy(self._settings.registry_url, self._settings.admin_token, MODEL, version, reason=run_id)
        snapshot = self._snapshot(run_id)
        sync_snapshot(self._settings.sync_url, self._settings.admin_token, str(snapshot))
        shutil.rmtree(snapshot)
        with monitoring.bound_context(dag_id=DAG, task_id=TASK, run_id=run_id):
            monitoring.recovered("airflow.task_failed", dag_id=DAG, task_id=TASK)
            monitoring.recovered("pipeline.no_recent_run")

    def fail(self, run_id: str) -> None:
        """Report a task that failed for good."""
        error = RuntimeError(f"planned by the soak run: {run_id}")
        monitoring.report("airflow.task_failed", error=error, dag_id=DAG, task_id=TASK, run_id=run_id, try_number=2)

    def refresh(self, run_id: str) -> None:
        """Deploy a refresh of the model in service."""
        url, token = self._settings.registry_url, self._settings.admin_token
        served = served_model(url, token, MODEL)
        if served is not None:
            deploy_refresh(url, token, MODEL, self._push(served.trained), served.active, reason=run_id)

    def damage(self, run_id: str) -> None:
        """Have the registry reject a bundle that was damaged on its disk."""
        version = self._push(None)
        newest = max(self._settings.artifacts.rglob("*.tar.gz"), key=lambda path: path.stat().st_mtime_ns)
        damage(newest)
        try:
            deploy(self._settings.registry_url, self._settings.admin_token, MODEL, version, reason=run_id)
        except PipelineError:
            return
        raise AssertionError("the registry deployed a damaged bundle")

    def count(self, _run_id: str) -> None:
        """Do nothing: the counters are in each answer."""

    def _push(self, refreshes: str | None) -> str:
        self._made += 1
        contents, archive = self._folder / "contents", self._folder / "bundle.tar.gz"
        manifest = read_manifest(contents)
        write_manifest(contents, manifest.model_copy(update={"created_at": datetime.now(UTC), "refreshes": refreshes}))
        pack(contents, archive)
        return push(self._settings.registry_url, self._settings.admin_token, MODEL, archive)

    def _snapshot(self, run_id: str) -> Path:
        folder = self._folder / f"snapshot-{self._made}"
        dice = np.random.default_rng(self._made)
        write_snapshot(folder, run_id, datetime.now(UTC), [(user, _blob(dice)) for user in range(1, USERS + 1)])
        return folder


def _blob(dice: np.random.Generator) -> bytes:
    ids = FIRST_DATASET_ID + dice.choice(SIZE.datasets, _HISTORY, replace=False)
    ts = int(datetime.now(UTC).timestamp()) - dice.integers(0, 30 * 86_400, _HISTORY)
    history = History.build(ids, ts, dice.choice(np.array([1, 2, 3, 4], np.uint8), _HISTORY))
    return UserBlob(dice.random(len(USER_FEATURES)).astype(np.float32), history).pack()


def _answer(command: Callable[[str], None], run_id: str) -> dict[str, Any]:
    error = None
    try:
        command(run_id)
    except (PipelineError, AssertionError) as caught:
        error = f"{type(caught).__name__}: {caught}"
    monitoring.flush(_FLUSH_SECONDS)
    return {"error": error, "counters": monitoring.counters(), "waiting": monitoring.process.waiting()}


def main() -> int:
    """Answer commands until the input ends."""
    monitoring.init("airflow", MonitoringSettings())
    night = Night(Path(sys.argv[1]), Settings.model_validate({}))
    commands = {each.__name__: each for each in (night.succeed, night.fail, night.refresh, night.damage, night.count)}
    for line in sys.stdin:
        name, _, run_id = line.strip().partition(" ")
        sys.stdout.write(json.dumps(_answer(commands[name], run_id)) + "\n")
        sys.stdout.flush()
    monitoring.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
