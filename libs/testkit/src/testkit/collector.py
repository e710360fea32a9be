"""A real collector on a free port, and a client for its contents."""

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from secrets import token_hex
from signal import SIGTERM, Signals
from types import TracebackType
from typing import Any, Self

import httpx

from localservers.collector import Collector
from localservers.ports import Ports
from localservers.waiting import wait_until
from testkit.processes import ServerProcess

TIMEOUT_SECONDS = 10
START_SECONDS = 60


class CollectorClient:
    """Reads issues and events through the collector's API."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=f"{url}/api/canonical/0", headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_SECONDS
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def issues(self) -> list[dict[str, Any]]:
        """Return the issues of the stack's project."""
        return self._all("/issues/", {"project": "1"})

    def issues_of(self, project: str) -> list[dict[str, Any]]:
        """Return the issues of a project by its name."""
        (number,) = (each["id"] for each in self._all("/projects/", {}) if each["name"] == project)
        return self._all("/issues/", {"project": str(number)})

    def events(self, issue: str) -> Iterator[dict[str, Any]]:
        """Yield the events of an issue in the shape of `normal`, newest first."""
        for listed in self._all("/events/", {"issue": issue}):
            yield normal(self._get(f"/events/{listed['id']}/", {})["data"])

    def events_of(self, monitoring_point: str, **tags: str) -> list[dict[str, Any]]:
        """Return the events of a monitoring point that carry `tags`, newest first within an issue."""
        # Filtered here, because the API ignores a query (`q=`).
        wanted = {"monitoring_point": monitoring_point, **tags}
        return [
            event
            for issue in self.issues()
            for event in self.events(issue["id"])
            if wanted.items() <= event["tags"].items()
        ]

    def wait_for(self, monitoring_point: str, *, within: float = 15, **tags: str) -> dict[str, Any]:
        """Wait for an event of a point and return the newest; raises `localservers.waiting.TooLateError`."""
        found: list[dict[str, Any]] = []

        def arrived() -> bool:
            try:
                found[:] = self.events_of(monitoring_point, **tags)
            except httpx.TransportError:  # it may be restarting
                return False
            return bool(found)

        wait_until(arrived, within=within, every=0.2, what=f"{monitoring_point} {tags} is in the collector")
        return found[0]

    def _all(self, path: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        page = self._get(path, parameters)
        found: list[dict[str, Any]] = page["results"]
        while page.get("next"):
            page = self._get(page["next"], {})
            found += page["results"]
        return found

    def _get(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        response = self._http.get(path, params=dict(parameters)) if parameters else self._http.get(path)
        response.raise_for_status()
        body: dict[str, Any] = response.json()
        return body


def normal(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event with its tags as a mapping and its breadcrumbs as a list, in whichever form they were sent."""
    tags = event.get("tags") or {}
    crumbs = event.get("breadcrumbs") or []
    return {
        **event,
        "tags": dict(tags) if not isinstance(tags, Mapping) else tags,
        "breadcrumbs": crumbs["values"] if isinstance(crumbs, Mapping) else crumbs,
    }


class CollectorProcess(CollectorClient):
    """A collector that digests events within the request; `dsn` and `token` are its own."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self._collector = Collector(
            root=checkout,
            data=folder / "data",
            port=Ports.free().collector,
            key=token_hex(16),
            token=token_hex(20),
            password=token_hex(16),
            secret=token_hex(32),
            eager=True,
        )
        self._log = folder / "collector.log"
        self._process: ServerProcess | None = None
        self.dsn = self._collector.dsn
        self.token = self._collector.token
        self.base_url = self._collector.url
        super().__init__(self._collector.url, self._collector.token)

    def __enter__(self) -> Self:
        self._collector.prepare()
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        process = ServerProcess(
            self._collector.web_command(), self._log, environment={**os.environ, **self._collector.environment()}
        )
        self._process = process

        def answers() -> bool:
            process.check_alive()
            try:
                self.issues()
            except httpx.TransportError:
                return False
            return True

        wait_until(answers, within=START_SECONDS, what="the collector answers")

    @property
    def pid(self) -> int:
        """The id of its main process; raises `RuntimeError` while it is down."""
        if self._process is None:
            raise RuntimeError("the collector is down")
        return self._process.pid

    def stop(self, number: Signals = SIGTERM) -> None:
        """End its main process with a signal; its data stays."""
        if self._process is not None:
            self._process.end(number)
            self._process = None

    def listens(self) -> bool:
        """Return whether its port accepts connections."""
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self._collector.port)) == 0
