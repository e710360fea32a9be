"""The events of one run in the collector, read through its API."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import httpx

from verify.project import Project, find_project
from verify.settings import Settings

TIMEOUT_SECONDS = 10.0
# The difference between the collector's clock and ours.
_SKEW = timedelta(seconds=60)


@dataclass(frozen=True)
class Arrived:
    """An event in the collector: its content, how long it took to arrive, and its page."""

    event: dict[str, Any]
    issue: str
    seconds: float
    link: str

    @property
    def tags(self) -> dict[str, str]:
        """The event's tags."""
        tags: dict[str, str] = self.event.get("tags") or {}
        return tags


class CollectorReader:
    """Reads events of the release `run` in the project of `make verify`; older events than `began` are skipped."""

    def __init__(self, settings: Settings, run: str, began: datetime) -> None:
        self._url = settings.collector_url.rstrip("/")
        self._run = run
        self._since = began - _SKEW
        self._seen: dict[str, Arrived | None] = {}
        self._http = httpx.Client(
            base_url=f"{self._url}/api/canonical/0",
            headers={"Authorization": f"Bearer {settings.collector_token.get_secret_value()}"},
            timeout=TIMEOUT_SECONDS,
        )

    @cached_property
    def project(self) -> Project:
        """The project; raises `MissingProjectError` and `httpx.HTTPError`."""
        return find_project(self._http, self._url)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def events(self) -> list[Arrived]:
        """Return the run's events so far; raises `httpx.HTTPError`."""
        for issue in self._recent("/issues/", {"project": self.project.number, "sort": "last_seen", "order": "desc"}):
            for listed in self._recent("/events/", {"issue": issue["id"]}):
                if listed["id"] not in self._seen:
                    self._seen[listed["id"]] = self._fetch(listed, issue["id"])
        return [event for event in self._seen.values() if event is not None]

    def _recent(self, path: str, parameters: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Yield entries, newest first, until the start of this run."""
        page = self._get(path, parameters)
        while True:
            for entry in page["results"]:
                if datetime.fromisoformat(entry.get("last_seen") or entry["digested_at"]) < self._since:
                    return
                yield entry
            if not page.get("next"):
                return
            page = self._get(page["next"], {})

    def _fetch(self, listed: dict[str, Any], issue: str) -> Arrived | None:
        event = self._get(f"/events/{listed['id']}/", {})["data"]
        if event.get("release") != self._run:
            return None
        took = datetime.fromisoformat(listed["digested_at"]) - datetime.fromisoformat(event["timestamp"])
        link = f"{self._url}/issues/issue/{issue}/event/{listed['id']}/"
        return Arrived(event, issue, took.total_seconds(), link)

    def _get(self, path: str, parameters: dict[str, str]) -> dict[str, Any]:
        response = self._http.get(path, params=parameters) if parameters else self._http.get(path)
        response.raise_for_status()
        body: dict[str, Any] = response.json()
        return body
