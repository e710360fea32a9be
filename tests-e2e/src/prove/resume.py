"""A run that is killed in each of its steps continues to the archive of an undisturbed run, and repeats no step.

The pipeline is killed by `kill -9` before a step's output appears, when only its marker is missing, and while a service
carries out its request. The same with results on an object store, in the middle of its requests.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from bench.results import Goal, Result
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.demo import DemoSize, generate
from pipeline.steps import steps
from testkit.fake_registry import FakeRegistry, RegistryHandler
from testkit.s3_server import S3Server

_AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
_SIZE = DemoSize(datasets=300, users=200, interactions=12_000)
_RUN_SECONDS = 900
_RUN = "proof"
_NOWHERE = "//nowhere//"
# Whether the store carries out the request before the client is killed.
_OBJECT_STORE_KILLS = (
    ("extract/interactions.parquet", False),
    ("clean/report.json", True),
    ("features.files.json", False),
    ("recall/content_items.npy", True),
    ("train.done.json", False),
    ("evaluate.done.json", True),
    ("bundle/bundle.tar.gz", False),
    ("bundle.files.json", True),
)
_CALLS = {"publish": "POST /models/ranker/versions", "deploy": "POST /models/ranker/deployments", "sync": "POST /sync"}


class _Services(FakeRegistry):
    """The registry and feature-sync; the caller of a `deadly` call is killed, and the call carried out."""

    def __init__(self) -> None:
        super().__init__(handler=_Handler)
        self.deadly: str | None = None
        self.caller = 0


class _Handler(RegistryHandler):
    server: _Services

    def handle_call(self, body: bytes) -> None:
        call = f"{self.command} {self.path}"
        if call == self.server.deadly:
            os.kill(self.server.caller, signal.SIGKILL)
        if call == "POST /sync":
            self.send_json(202, {"job": "j-1"})
        elif call == "GET /sync/j-1":
            self.send_json(200, {"job": "j-1", "state": "done"})
        else:
            super().handle_call(body)


@dataclass
class _Tally:
    kills: int = 0
    survivors: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    registered_twice: list[str] = field(default_factory=list)


def prove(folder: Path, seed: int) -> list[Result]:
    """Return the numbers of kills, and of runs that continued wrongly."""
    url = f"sqlite:///{folder / 'business.db'}"
    config = folder / "pipeline.yaml"
    config.write_text("queries: {most: 400}\nevaluation: {baselines: false}\n", encoding="utf-8")
    data = {"BUSINESS_DATABASE_URL": url, "PIPELINE_CONFIG": str(config)}
    engine = open_engine(url, "BUSINESS_DATABASE_URL")
    replace_content(engine, generate(_SIZE, seed % 2**31, _AS_OF))
    engine.dispose()
    whole = _Attempt(folder / "undisturbed", data)
    with whole:
        if code := whole.run(_NOWHERE, "--as-of", _AS_OF.isoformat(), "--publish"):
            raise RuntimeError(f"the undisturbed run ended with {code}")
        expected = whole.archive()
    tally = _Tally()
    for number, step in enumerate(steps(publish=True)):
        points = [f"/{output}$" for output in step.outputs if output != "snapshot"]
        points += ["/snapshots/proof$"] if "snapshot" in step.outputs else []
        for place in [*points, f"/{step.name}.done.json$", *([_CALLS[step.name]] if step.name in _CALLS else [])]:
            attempt = _Attempt(folder / f"killed-{number}-{tally.kills}", data)
            with attempt:
                _kill_and_resume(attempt, f"{step.name} at {place}", place, expected, tally)
    for output, is_carried_out in _OBJECT_STORE_KILLS:
        with S3Server() as store, _Attempt(store, data) as attempt:
            store.is_carried_out = is_carried_out
            _kill_and_resume(attempt, f"object store, {output}", f"PUT /runs/{_RUN}/{output}", expected, tally)
    return [
        Result("resume: runs killed in a step", tally.kills, "runs", Goal(least=2 * len(steps(publish=True)))),
        Result("resume: runs that outlived their kill", len(tally.survivors), "runs", Goal(most=0)),
        Result("resume: archives that differ from the undisturbed one", len(tally.different), "runs", Goal(most=0)),
        Result("resume: finished steps that were repeated", len(tally.repeated), "steps", Goal(most=0)),
        Result("resume: bundles registered twice", len(tally.registered_twice), "runs", Goal(most=0)),
    ]


def _kill_and_resume(attempt: "_Attempt", name: str, place: str, expected: bytes, tally: _Tally) -> None:
    tally.kills += 1
    if attempt.run(place, "--as-of", _AS_OF.isoformat(), "--publish") != -signal.SIGKILL:
        tally.survivors.append(name)
    before = attempt.markers()
    if attempt.run(_NOWHERE, "--resume", "--publish") or attempt.archive() != expected:
        tally.different.append(name)
    after = attempt.markers()
    tally.repeated += [f"{name}: {step}" for step, marker in before.items() if after.get(step) != marker]
    if len(attempt.services.bundles) != 1:
        tally.registered_twice.append(name)


class _Attempt:
    """A store of its own, a folder or a bucket, with services of its own."""

    def __init__(self, store: Path | S3Server, data: Mapping[str, str]) -> None:
        self._store = store
        self._data = data
        self._stack = ExitStack()
        self.services = _Services()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.services)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, place: str, *arguments: str) -> int:
        """Run the pipeline, which is killed at a place or by a service; return its exit code."""
        known = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_TOKEN", "_DSN"))}
        own = {
            **self._data,
            "ARTIFACT_URL": str(self._store) if isinstance(self._store, Path) else self._store.address,
            "REGISTRY_URL": self.services.url,
            "FEATURE_SYNC_URL": self.services.url,
        }
        remote = {}
        if isinstance(self._store, S3Server):
            self._store.deadly, remote = place, self._store.environment()
        self.services.deadly = place
        with subprocess.Popen(
            [sys.executable, "-m", "testkit.killed_at_path", place, "pipeline", "run", "--run-id", _RUN, *arguments],
            env=known | own | remote,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            self.services.caller = process.pid
            if isinstance(self._store, S3Server):
                self._store.client = process.pid
            return process.wait(_RUN_SECONDS)

    def archive(self) -> bytes:
        """Return the run's archive, empty without one."""
        return self._read("bundle/bundle.tar.gz") or b""

    def markers(self) -> dict[str, bytes]:
        """Return the done markers by step."""
        found = {step.name: self._read(f"{step.name}.done.json") for step in steps(publish=True)}
        return {name: data for name, data in found.items() if data is not None}

    def _read(self, name: str) -> bytes | None:
        path = f"runs/{_RUN}/{name}"
        if isinstance(self._store, S3Server):
            return self._store.read(path)
        return (self._store / path).read_bytes() if (self._store / path).exists() else None
