"""The model registry in memory, on loopback, for tests of those that call it.

`model-registry/tests/test_registry_contract.py` runs over this one and the real one.
"""

import hashlib
import json
import re
import tarfile
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from io import BytesIO
from pathlib import Path
from typing import Any

from testkit.threaded_server import SilentHandler, ThreadedServer

SINCE = "2026-01-01T00:00:00Z"


class FakeRegistry(ThreadedServer):
    """Serves one model. `mode` is how it answers: ok, an HTTP status, or garbage. Changes need the `token`, if any.

    With `max_wait` (s) it holds a request with `Prefer: wait=N` until the active deployments change.
    """

    def __init__(
        self,
        name: str = "ranker",
        *,
        token: str | None = None,
        handler: "type[RegistryHandler] | None" = None,
    ) -> None:
        super().__init__(handler or RegistryHandler)
        self.name = name
        self.token = token
        self.mode = "ok"
        self.bundles: dict[str, bytes] = {}
        self.active: dict[str, Any] | None = None
        self.history: list[dict[str, Any]] = []
        # By replica and mode.
        self.replicas: dict[tuple[str, str], dict[str, Any]] = {}
        # Evaluation parts by version, as they were pushed.
        self.evaluations: dict[str, bytes] = {}
        # Description and tags by version.
        self.labels: dict[str, dict[str, Any]] = {}
        # As a registry of the release before, it says nothing of evaluation parts.
        self.takes_evaluations = True
        self.max_wait = 0
        self.changed = threading.Condition()
        self.authorizations: list[str | None] = []
        self.downloads = 0
        self.not_modified = 0
        self._deployments = 0

    def push(self, version: str, archive: Path) -> dict[str, Any]:
        """Store a bundle and return a deployment of it, not active yet."""
        self.bundles[version] = archive.read_bytes()
        return self.deployment(version, since=SINCE)

    def deployment(self, version: str, *, since: str, rollout: float = 1.0) -> dict[str, Any]:
        """Return a deployment of a stored version, not active yet."""
        self._deployments += 1
        return {
            "deployment_id": str(self._deployments),
            "version": version,
            "bundle_url": f"/models/{self.name}/versions/{version}/bundle",
            "sha256": self.sha256(version),
            "rollout": rollout,
            "since": since,
        }

    def deploy(
        self, primary: dict[str, Any], canary: dict[str, Any] | None = None, shadow: dict[str, Any] | None = None
    ) -> None:
        """Make deployments active."""
        with self.changed:
            self.active = {"name": self.name, "primary": primary, "canary": canary, "shadow": shadow}
            self.changed.notify_all()

    def active_document(self) -> tuple[bytes, str]:
        """Return the body of `GET …/active` and its tag."""
        body = json.dumps(self.active).encode()
        return body, f'"{hashlib.sha256(body).hexdigest()[:16]}"'

    def sha256(self, version: str) -> str:
        """Return the checksum of a stored bundle."""
        return hashlib.sha256(self.bundles[version]).hexdigest()


class _RejectedError(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class RegistryHandler(SilentHandler):
    """Answers as the registry does; what is asked beside it is answered by a subclass's `handle_call`."""

    server: FakeRegistry

    def do_GET(self) -> None:
        """Answer what is asked of the model, or a bundle."""
        # The list of named tokens is asked for every few seconds, whatever happens to the model.
        if self.path.startswith("/models"):
            self.server.authorizations.append(self.headers.get("Authorization"))
        self.handle_call(b"")

    def do_PUT(self) -> None:
        """Take a replica's state."""
        self.handle_call(self.read_body())

    def do_POST(self) -> None:
        """Take a bundle, a deployment or a rollback."""
        self.handle_call(self.read_body())

    def handle_call(self, body: bytes) -> None:
        """Answer."""
        if self.server.mode.isdigit():
            self.send_body(int(self.server.mode), b"{}")
            return
        try:
            if self.command == "GET":
                self._get()
            else:
                self._check_token()
                self._change(body)
        except _RejectedError as error:
            self.send_json(error.status, {"status": error.status, "detail": str(error)})

    def _get(self) -> None:
        root = f"/models/{self.server.name}"
        bundle = re.fullmatch(rf"{root}/versions/([^/]+)/bundle", self.path)
        version = re.fullmatch(rf"{root}/versions/([^/]+)", self.path)
        evaluation = re.fullmatch(rf"{root}/versions/([^/]+)/evaluation", self.path)
        if bundle:
            self.server.downloads += 1
            self._stored(bundle[1])
            self.send_body(200, self.server.bundles[bundle[1]])
        elif version:
            self._stored(version[1])
            detail = _detail(self.server.bundles[version[1]]) | {"evaluation": _evaluation(self.server, version[1])}
            self.send_json(200, _receipt(self.server, version[1]) | detail | self.server.labels.get(version[1], {}))
        elif evaluation:
            self._check_token()
            if evaluation[1] not in self.server.evaluations:
                raise _RejectedError(404, f"version {evaluation[1]} has no evaluation part")
            self.send_body(200, self.server.evaluations[evaluation[1]])
        elif self.path == f"{root}/active":
            self._get_active()
        elif self.path == f"{root}/deployments":
            replicas = [
                {"replica_id": name} | report | {"reported_at": _now()}
                for (name, _), report in sorted(self.server.replicas.items())
            ]
            self.send_json(200, {"deployments": self.server.history, "replicas": replicas})
        elif self.path == root and self.server.bundles:
            newest_first = [_receipt(self.server, each) for each in reversed(self.server.bundles)]
            self.send_json(200, {"name": self.server.name, "versions": newest_first})
        else:
            raise _RejectedError(404, f"nothing at {self.path}")

    def _get_active(self) -> None:
        if self.server.mode == "garbage":
            self.send_body(200, b'{"name": "ranker", "primary": 7}')
            return
        if self.server.active is None:
            raise _RejectedError(404, f"nothing of {self.server.name!r} is in service")
        known, headers = self.headers.get("If-None-Match"), {}
        wait = re.search(r"wait=(\d+)", self.headers.get("Prefer", ""))
        if known and wait and self.server.max_wait:
            headers["Preference-Applied"] = wait[0]
            seconds = min(int(wait[1]), self.server.max_wait)
            with self.server.changed:
                self.server.changed.wait_for(lambda: self.server.active_document()[1] != known, seconds)
        body, etag = self.server.active_document()
        headers["ETag"] = etag
        if known == etag:
            self.server.not_modified += 1
            self.send_body(304, b"", headers)
            return
        self.send_body(200, body, headers)

    def _change(self, body: bytes) -> None:
        root = f"/models/{self.server.name}"
        call = f"{self.command} {self.path}"
        evaluation = re.fullmatch(rf"PUT {root}/versions/([^/]+)/evaluation", call)
        if call == f"POST {root}/versions":
            self._take_bundle(body)
        elif evaluation:
            self._stored(evaluation[1])
            self.server.evaluations[evaluation[1]] = _form(self.headers["Content-Type"], body)["evaluation"]
            self.send_json(200, _evaluation(self.server, evaluation[1]))
        elif call == f"POST {root}/deployments":
            self.send_json(201, _deploy(self.server, json.loads(body)))
        elif call == f"POST {root}/rollback":
            self.send_json(201, _roll_back(self.server, json.loads(body)))
        elif call.startswith(f"PUT {root}/replicas/"):
            report = json.loads(body)
            self.server.replicas[self.path.rsplit("/", 1)[-1], report.get("mode", "primary")] = report
            self.send_response(204)
            self.end_headers()
        else:
            raise _RejectedError(404, f"nothing at {self.path}")

    def _take_bundle(self, body: bytes) -> None:
        form = _form(self.headers["Content-Type"], body)
        bundle, wanted = form["bundle"], form["sha256"].decode()
        if hashlib.sha256(bundle).hexdigest() != wanted:
            raise _RejectedError(422, "sha256: the upload's is another")
        known = [version for version, content in self.server.bundles.items() if content == bundle]
        if not known:
            _check_ranker(self.server, bundle)
        version = known[0] if known else str(max(map(int, self.server.bundles), default=0) + 1)
        self.server.bundles[version] = bundle
        self.send_json(200 if known else 201, _receipt(self.server, version))

    def _stored(self, version: str) -> None:
        if version not in self.server.bundles:
            raise _RejectedError(404, f"there is no version {version}")

    def _check_token(self) -> None:
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            raise _RejectedError(401, "a token is needed")


def _check_expected(server: FakeRegistry, wanted: Mapping[str, Any]) -> None:
    active = None if server.active is None else server.active["primary"]["version"]
    if wanted.get("expected_active") not in (None, active):
        raise _RejectedError(409, f"expected_active is {wanted['expected_active']}, in service is {active}")


def _check_refresh(server: FakeRegistry, refreshed: str) -> None:
    active = None if server.active is None else server.active["primary"]["version"]
    trained = None if active is None else _refreshes(server, active) or active
    if trained != refreshed:
        raise _RejectedError(409, f"this bundle refreshes version {refreshed}, in service is {trained}")


def _check_ranker(server: FakeRegistry, bundle: bytes) -> None:
    manifest = _manifest(bundle)
    trained = server.bundles.get(manifest.get("refreshes") or "")
    if trained is not None and _ranker(_manifest(trained)) != _ranker(manifest):
        raise _RejectedError(422, "bundle: manifest.json: refreshes: ranker.txt is another one")


def _ranker(manifest: Mapping[str, Any]) -> str | None:
    found: str | None = manifest.get("files", {}).get("ranker.txt")
    return found


def _refreshes(server: FakeRegistry, version: str) -> str | None:
    found: str | None = _manifest(server.bundles[version]).get("refreshes")
    return found


def _deploy(server: FakeRegistry, wanted: Mapping[str, Any]) -> dict[str, Any]:
    version, mode = wanted["version"], wanted.get("mode", "primary")
    if (repeated := _repeated(server, wanted, mode)) is not None:
        return repeated
    _check_expected(server, wanted)
    if version not in server.bundles:
        raise _RejectedError(404, f"there is no version {version}")
    if (refreshed := _refreshes(server, version)) is not None:
        _check_refresh(server, refreshed)
    if mode != "primary" and server.active is None:
        raise _RejectedError(409, f"activate: a {mode} needs a primary version beside it")
    made = server.deployment(version, since=_now(), rollout=wanted.get("rollout", 1.0))
    before = {} if server.active is None else dict(server.active)
    previous = before.get(mode)
    for ended in (mode,) if mode != "primary" else ("primary", "canary", "shadow"):
        _end(server, before.pop(ended, None), "replaced")
    deployments = {"primary": None, "canary": None, "shadow": None} | before | {mode: made}
    deployments.pop("name", None)
    server.deploy(**deployments)
    record = {
        "deployment_id": made["deployment_id"],
        "mode": mode,
        "version": version,
        "state": "active",
        "previous_version": None if previous is None else previous["version"],
    }
    more = {name: wanted.get(name) for name in ("reason",)} | {"rollout": made["rollout"], "created_at": made["since"]}
    server.history.insert(0, record | more | {"failed_stage": None, "detail": None, "deployed_by": None})
    return record


def _repeated(server: FakeRegistry, wanted: Mapping[str, Any], mode: str) -> dict[str, Any] | None:
    """Return the receipt of the active deployment if an earlier try of this call has made it."""
    record = next((each for each in server.history if (each["mode"], each["state"]) == (mode, "active")), None)
    if record is None or wanted.get("expected_active") is None or record["version"] != wanted["version"]:
        return None
    begun = server.active["primary"]["version"] if mode != "primary" and server.active else record["previous_version"]
    if begun != wanted["expected_active"] or record["rollout"] != wanted.get("rollout", 1.0):
        return None
    return {name: record[name] for name in ("deployment_id", "mode", "version", "state", "previous_version")}


def _roll_back(server: FakeRegistry, wanted: Mapping[str, Any]) -> dict[str, Any]:
    mode = wanted.get("mode", "primary")
    _check_expected(server, wanted)
    if mode != "primary":
        if server.active is None or server.active[mode] is None:
            raise _RejectedError(409, f"no {mode} of {server.name!r} is in service")
        server.active, ended = server.active | {mode: None}, server.active[mode]
        return _end(server, ended, "rolled_back")
    if server.active is None:
        raise _RejectedError(404, f"nothing of {server.name!r} is in service")
    served = server.active["primary"]["version"]
    earlier = [each for each in server.history if each["mode"] == "primary" and each["version"] != served]
    if not earlier:
        raise _RejectedError(409, f"{server.name} {served} is the only version that was ever in service")
    return _deploy(server, {"version": earlier[0]["version"], "reason": wanted.get("reason")})


def _end(server: FakeRegistry, deployment: Mapping[str, Any] | None, state: str) -> dict[str, Any]:
    """Give a deployment that was in service its last state, and return its receipt."""
    for record in server.history:
        if deployment is not None and record["deployment_id"] == deployment["deployment_id"]:
            record["state"] = state
            return {name: record[name] for name in ("deployment_id", "mode", "version", "state", "previous_version")}
    return {}


def _form(content_type: str, body: bytes) -> dict[str, bytes]:
    """Return the fields of an upload: `sha256`, and `bundle` or `evaluation`."""
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    fields: dict[str, bytes] = {}
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        fields[str(part.get_param("name", header="content-disposition"))] = content
    return fields


def _receipt(server: FakeRegistry, version: str) -> dict[str, Any]:
    receipt = {"name": server.name, "version": version, "sha256": server.sha256(version), "created_at": SINCE}
    refreshes = _refreshes(server, version)
    takes = {"takes_evaluation": refreshes is None} if server.takes_evaluations else {}
    return receipt | {"refreshes": refreshes} | takes


def _evaluation(server: FakeRegistry, version: str) -> dict[str, Any] | None:
    """Return what the part says of itself; it isn't read here."""
    part = server.evaluations.get(version)
    if part is None:
        return None
    read = {"run_id": "run", "cut": SINCE, "queries": 800, "ndcg@10": 0.15}
    return {"sha256": hashlib.sha256(part).hexdigest()} | read


def _detail(bundle: bytes) -> dict[str, Any]:
    return {"size": len(bundle), "manifest": _manifest(bundle)}


def _manifest(bundle: bytes) -> dict[str, Any]:
    """Return a bundle's manifest; some tests push what is no bundle."""
    try:
        with tarfile.open(fileobj=BytesIO(bundle)) as archive:
            manifest = archive.extractfile("manifest.json")
            assert manifest is not None
            found: dict[str, Any] = json.load(manifest)
    except (tarfile.TarError, KeyError):
        return {}
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat()
