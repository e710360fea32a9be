"""A running stack as the end-to-end tests see it: over HTTP, in its databases, and at the runner of its programs."""

import json
import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import httpx
import psycopg2

from contracts.bundle import pack, unpack, write_manifest
from contracts.checksums import sha256_of
from contracts.registry.client import RegistryClient
from localservers.waiting import wait_until
from testkit.collector import CollectorClient

CHECKOUT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 60.0
# On a busy machine; the benchmarks measure a quiet one.
NORMAL_SECONDS = 15.0


class Programs(Protocol):
    """A stack's programs, in any way of running them."""

    @property
    def env(self) -> Mapping[str, str]:
        """The stack's addresses and secrets."""

    @property
    def artifacts(self) -> Path:
        """The artifact store's folder."""

    def up(self) -> None:
        """Do what `make up` does."""

    def programs(self) -> list[str]:
        """Return the names of all programs that run permanently."""

    def main_process(self, program: str) -> int:
        """Return the id of a program's main process, 0 while it doesn't run."""

    def is_well(self, program: str) -> bool:
        """Return whether a program runs and answers."""

    def hold_down(self, program: str) -> None:
        """Kill a program so that it stays down."""

    def bring_back(self, program: str) -> None:
        """Start a program again and wait until it is healthy."""

    def frozen(self, program: str) -> AbstractContextManager[None]:
        """Make a program hang for the length of a block."""


class WechatInbox:
    """The messages that the WeChat Work simulator received."""

    def __init__(self, url: str) -> None:
        self._url = url

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages, oldest first."""
        found: list[dict[str, Any]] = httpx.get(f"{self._url}/_control/messages", timeout=TIMEOUT_SECONDS).json()[
            "messages"
        ]
        return found

    def wait_for(self, text: str, *, within: float) -> str:
        """Wait for a message that contains `text`, and return its content."""
        found: list[str] = []

        def arrived() -> bool:
            contents = (json.dumps(message, ensure_ascii=False) for message in self.messages())
            found[:] = [content for content in contents if text in content]
            return bool(found)

        wait_until(arrived, within=within, every=0.05, what=f"a WeChat message with {text!r}")
        return found[0]


class RunningStack:
    """The stack under test."""

    def __init__(self, programs: Programs, notes: list[str]) -> None:
        self.programs = programs
        self._notes = notes
        self.env = programs.env
        self.api = httpx.Client(base_url=self.env["API_URL"], timeout=TIMEOUT_SECONDS)
        self.registry = httpx.Client(
            base_url=self.env["REGISTRY_URL"],
            headers={"Authorization": f"Bearer {self.env['REGISTRY_TOKEN']}"},
            timeout=60,
        )
        self.models = RegistryClient(self.registry.request, "ranker")
        self.airflow = httpx.Client(base_url=self.env["AIRFLOW_URL"], timeout=TIMEOUT_SECONDS)
        # A refresh in the middle of a test would put another version into service.
        paused = self.airflow.patch("/api/v2/dags/incremental_update?update_mask=is_paused", json={"is_paused": True})
        paused.raise_for_status()
        self.collector = CollectorClient(self.env["COLLECTOR_URL"], self.env["COLLECTOR_TOKEN"])
        self.wechat = WechatInbox(self.env["WECHAT_SIMULATOR_URL"])

    def close(self) -> None:
        """Close the connections."""
        for client in (self.api, self.registry, self.airflow, self.collector):
            client.close()

    # The subjects of requests.

    @cached_property
    def titles(self) -> dict[int, str]:
        """The title of every dataset of the business database."""
        return dict(self.query("BUSINESS_DATABASE_URL", "SELECT id, title FROM datasets"))

    @cached_property
    def dataset_id(self) -> int:
        """The dataset with the most interactions."""
        most = "SELECT dataset_id FROM interactions GROUP BY dataset_id ORDER BY count(*) DESC, dataset_id LIMIT 1"
        return int(self.query("BUSINESS_DATABASE_URL", most)[0][0])

    @cached_property
    def cold_dataset_id(self) -> int:
        """A dataset without interactions, so without precomputed neighbours."""
        cold = "SELECT min(id) FROM datasets WHERE title LIKE 'zqx%'"
        return int(self.query("BUSINESS_DATABASE_URL", cold)[0][0])

    @cached_property
    def user_id(self) -> int:
        """A user with a history."""
        most = "SELECT user_id FROM interactions GROUP BY user_id ORDER BY count(*) DESC, user_id LIMIT 1"
        return int(self.query("BUSINESS_DATABASE_URL", most)[0][0])

    def query(self, url_variable: str, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query on one of the stack's databases."""
        connection = psycopg2.connect(self.env[url_variable].replace("+psycopg2", ""), connect_timeout=5)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    # Models.

    def active_version(self) -> str:
        """Return the version that the registry has in service."""
        active = self.models.active()
        assert active is not None
        return active.primary.version

    def served_version(self) -> str:
        """Return the version that answers."""
        return str(self.api.get(f"/similar/{self.dataset_id}").json()["model_version"])

    def push_another_version(self) -> str:
        """Upload the active bundle under another manifest and return its new version."""
        downloaded = self.registry.get(f"/models/ranker/versions/{self.active_version()}/bundle")
        downloaded.raise_for_status()
        with tempfile.TemporaryDirectory() as folder:
            received, contents, made = Path(folder, "in.tar.gz"), Path(folder, "contents"), Path(folder, "out.tar.gz")
            received.write_bytes(downloaded.content)
            contents.mkdir()
            manifest = unpack(received, contents)
            write_manifest(contents, manifest.model_copy(update={"created_at": datetime.now(UTC)}))
            pack(contents, made)
            return self.models.push(made).version

    def damage_stored_bundle(self, version: str) -> None:
        """Flip a byte of a version's bundle in the artifact store."""
        wanted = self.models.version(version).sha256
        stored = [path for path in self.programs.artifacts.rglob("*") if path.is_file() and sha256_of(path) == wanted]
        assert len(stored) == 1, stored
        content = bytearray(stored[0].read_bytes())
        content[len(content) // 2] ^= 0xFF
        stored[0].write_bytes(content)

    # Faults.

    def kill(self, program: str) -> None:
        """Kill a program; its runner starts it again."""
        pid = self.programs.main_process(program)
        # Process 0 would be the process group of the tests.
        assert pid, f"{program} doesn't run"
        os.kill(pid, signal.SIGKILL)

    def pids(self) -> dict[str, int]:
        """Return the main process of every program."""
        return {program: self.programs.main_process(program) for program in self.programs.programs()}

    def answers(self) -> bool:
        """Return whether the API can answer."""
        try:
            return self.api.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def wait_until_normal(self) -> float:
        """Wait for an answer of the main path and return how long that took."""
        return self.wait_until(
            lambda: self.api.get(f"/similar/{self.dataset_id}?limit=5").json()["fallback_level"] == 0,
            within=NORMAL_SECONDS,
            every=0.02,
            what="answers are normal",
        )

    # Time.

    @staticmethod
    def wait_until(condition: Callable[[], bool], *, within: float, what: str, every: float = 0.1) -> float:
        """Poll a condition and return how long it took to become true."""
        return wait_until(condition, within=within, what=what, every=every)

    @staticmethod
    def now_iso() -> str:
        """Return the current time in ISO 8601."""
        return datetime.now(UTC).isoformat()

    def note(self, what: str, value: float) -> None:
        """Show a measurement at the end of the run."""
        self._notes.append(f"{what}: {value:.2f}")
