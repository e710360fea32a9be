"""Ten scripted minutes: traffic, a Redis kill, a failed sync, a failed, a killed and a good training, a canary."""

import logging
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from contracts.bundle import pack, unpack, write_manifest
from contracts.deployments import DeploymentMode, DeploymentRequest
from contracts.snapshot import write_snapshot
from localservers.waiting import wait_until
from prove.dashboards.observed_stack import ObservedStack
from prove.dashboards.traffic import Answered, Traffic
from soak.night_process import NightProcess
from verify.bundles import damage

SECONDS = 600.0
REDIS_DOWN_SECONDS = 40.0
# Small, so that a training takes seconds.
_DEMO = ("--datasets", "120", "--users", "150", "--interactions", "4000")
_READY_SECONDS = 90.0
_SYNC_SECONDS = 60.0
_CANARY_SHARE = 0.5
_UNPRICED, _OUTLIERS = 0.3, 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lived:
    """What the stack has lived through."""

    answered: Answered
    redis_down: tuple[float, float]
    canary: str
    shadow: str
    trained: str
    killed_run: str


class Script:
    """The steps; `begin` is the part of the stack's start, `live` the ten minutes."""

    def __init__(self, observed: ObservedStack, night: NightProcess, folder: Path, seed: int) -> None:
        self._observed = observed
        self._night = night
        self._folder = folder
        self._seed = seed
        self._redis_down = (0.0, 0.0)
        self._versions: dict[DeploymentMode, str] = {}

    def begin(self) -> None:
        """Load the demo data and train the first model, as the start of a stack does."""
        _check(self._observed.pipeline("demo", *_DEMO, "--seed", str(self._seed % 2**31)) == 0, "the demo data")
        self._train("the first training")
        ready = f"{self._observed.stack.urls['recommender']}/ready"
        wait_until(lambda: httpx.get(ready, timeout=5).is_success, within=_READY_SECONDS, what="the model is served")

    def live(self) -> Lived:
        """Run the ten minutes."""
        stack = self._observed.stack
        datasets, users = (self._column(f"SELECT id FROM {table}") for table in ("datasets", "users"))
        traffic = Traffic(stack.urls["recommender"], stack.token, datasets, users, self._seed)
        steps: Sequence[tuple[float, Callable[[], None]]] = (
            (20, lambda: self._deploy_another("canary")),
            (40, lambda: self._deploy_another("shadow")),
            (120, self._kill_redis),
            (200, self._fail_sync),
            (220, self._fail_training),
            (280, self._kill_training),
            (300, self._train_on_worse_data),
            (SECONDS, lambda: None),
        )
        began = time.monotonic()
        traffic.start()
        try:
            for at, step in steps:
                time.sleep(max(0.0, began + at - time.monotonic()))
                step()
        finally:
            traffic.stop()
        with self._observed.registry() as registry:
            trained = registry.history().deployments[0].version
        return Lived(
            traffic.answered,
            self._redis_down,
            self._versions["canary"],
            self._versions["shadow"],
            trained,
            KILLED_RUN,
        )

    def _train(self, what: str) -> None:
        _check(self._observed.pipeline("run") == 0, what)

    def _deploy_another(self, mode: DeploymentMode) -> None:
        """Put the bundle in service beside itself, under another manifest."""
        with self._observed.registry() as registry:
            active = registry.active()
            assert active is not None
            received, contents, made = (self._folder / f"{mode}{end}" for end in (".in.tar.gz", "", ".tar.gz"))
            contents.mkdir()
            registry.download(active.primary.version, received)
            manifest = unpack(received, contents)
            write_manifest(contents, manifest.model_copy(update={"created_at": datetime.now(UTC)}))
            pack(contents, made)
            version = registry.push(made).version
            share = _CANARY_SHARE if mode == "canary" else None
            registry.deploy(DeploymentRequest(version=version, mode=mode, rollout=share, reason=REASONS[mode]))
        self._versions[mode] = version

    def _kill_redis(self) -> None:
        redis = self._observed.stack.programs["redis"]
        began = time.time()
        redis.kill()
        try:
            time.sleep(REDIS_DOWN_SECONDS)
        finally:
            redis.start()
        self._redis_down = (began, time.time())

    def _fail_sync(self) -> None:
        """Have feature-sync reject a snapshot that was damaged on its disk."""
        snapshot = self._folder / "snapshot"
        write_snapshot(snapshot, "damaged", datetime.now(UTC), [(user, b"features") for user in range(1, 4)])
        largest = max((each for each in snapshot.rglob("*") if each.is_file()), key=lambda each: each.stat().st_size)
        damage(largest)
        stack = self._observed.stack
        with httpx.Client(base_url=stack.urls["feature-sync"], headers=stack.authorization, timeout=30) as sync:
            job = sync.post("/sync", json={"snapshot": str(snapshot)}).raise_for_status().json()["job"]
            wait_until(
                lambda: sync.get(f"/sync/{job}").json()["state"] == "failed",
                within=_SYNC_SECONDS,
                what="the sync of a damaged snapshot fails",
            )

    def _fail_training(self) -> None:
        """Let a check stop a training: no dataset has a price."""
        sound = self._folder / "sound.db"
        shutil.copyfile(self._observed.business_database, sound)
        try:
            self._change("UPDATE datasets SET price = NULL")
            _check(self._observed.pipeline("run") != 0, "a training on datasets without prices fails")
        finally:
            shutil.copyfile(sound, self._observed.business_database)

    def _kill_training(self) -> None:
        """Report what Airflow's listener reports of a task whose process was killed: the run has no page."""
        self._night.do("fail", KILLED_RUN)

    def _train_on_worse_data(self) -> None:
        self._change(f"UPDATE datasets SET price = NULL WHERE id % 10 < {_UNPRICED * 10:g}")
        outliers = f"SELECT id FROM datasets WHERE price > 1 ORDER BY id LIMIT {_OUTLIERS}"
        self._change(f"UPDATE datasets SET price = price * 10000000 WHERE id IN ({outliers})")
        self._train("the second training")

    def _change(self, statement: str) -> None:
        with closing(sqlite3.connect(self._observed.business_database)) as connection, connection:
            connection.execute(statement)

    def _column(self, query: str) -> list[int]:
        with closing(sqlite3.connect(self._observed.business_database)) as connection:
            return [int(row[0]) for row in connection.execute(query)]


KILLED_RUN = "scheduled__2026-11-24T03:00:00+00:00"
REASONS: dict[DeploymentMode, str] = {"canary": "half of the users", "shadow": "compare without risk"}


def _check(done: bool, what: str) -> None:
    if not done:
        raise RuntimeError(f"{what}: not as scripted; see pipeline.log")
