"""A Prometheus and a model registry that answer as a test says."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from testkit.threaded_server import SilentHandler, ThreadedServer

AT = "2026-01-05T12:00:00Z"


class OddSources(ThreadedServer):
    """Answers every query with series of `labels` and `value`, or with `result`; every manifest is `manifest`."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.labels: Sequence[dict[str, str]] = [{}]
        self.value = "1"
        self.result: Any = None
        self.manifest: dict[str, Any] = {}
        self.deployments: list[dict[str, Any]] = []

    def answer(self, path: str, query: dict[str, list[str]]) -> Any:
        """Return the JSON of an answer."""
        if path.startswith("/api/v1/"):
            return {"data": {"result": self._series(query) if self.result is None else self.result}}
        version = re.fullmatch(r"/models/ranker/versions/(\d+)", path)
        if version:
            return _receipt(version[1]) | {"size": 1, "manifest": self.manifest}
        if path == "/models/ranker":
            return {"name": "ranker", "versions": [_receipt(str(number)) for number in range(12, 0, -1)]}
        return {"deployments": self.deployments, "replicas": [], "rollouts": []}

    def _series(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        if "time" in query:
            return [{"metric": each, "value": [float(query["time"][0]), self.value]} for each in self.labels]
        start, end, step = (float(query[name][0]) for name in ("start", "end", "step"))
        moments = [start + step * number for number in range(int((end - start) / step) + 1)]
        return [{"metric": each, "values": [[at, self.value] for at in moments]} for each in self.labels]


def deployment(version: str, mode: str, text: str = "") -> dict[str, Any]:
    """Return an active deployment; `text` is why, and by whom."""
    return {
        "deployment_id": version,
        "version": version,
        "mode": mode,
        "state": "active",
        "deployed_by": text[:128],
        "reason": text,
        "detail": None,
        "previous_version": None,
        "rollout": 1.0,
        "failed_stage": None,
        "created_at": AT,
    }


def _receipt(version: str) -> dict[str, Any]:
    return {"name": "ranker", "version": version, "sha256": "a" * 64, "created_at": AT}


class _Handler(SilentHandler):
    server: OddSources

    def do_GET(self) -> None:
        """Answer."""
        asked = urlsplit(self.path)
        self.send_json(200, self.server.answer(asked.path, parse_qs(asked.query)))
