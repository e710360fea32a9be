"""The services as targets of `testkit.fuzz`: credentials, and bodies that they accept."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from contracts.checksums import sha256_of
from testkit.fuzz import RawBody, Target

_MOMENT = "2026-11-24T12:00:00Z"
_SIGNAL = {
    "signal_id": "fuzz-1",
    "kind": "fired",
    "monitoring_point": "redis.connection_failed",
    "fingerprint": ["redis", "connection_failed"],
    "level": "warning",
    "category": "redis",
    "service": "recommender-api",
    "environment": "test",
    "message": "Redis refuses",
    "occurrences": 2,
    "first_seen": _MOMENT,
    "last_seen": _MOMENT,
    "request_ids": ["req_1"],
    "tags": {"redis_host": "127.0.0.1"},
}
_MANAGED_ALERT = {
    "status": "firing",
    "labels": {"alertname": "DiskFull", "severity": "critical"},
    "annotations": {"summary": "the disk is full"},
    "startsAt": _MOMENT,
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://127.0.0.1:9090/graph",
    "fingerprint": "f1",
}
_HOOK = {
    "action": "triggered",
    "data": {
        "event": {
            "event_id": "0" * 32,
            "title": "RuntimeError: it broke",
            "level": "error",
            "fingerprint": ["api", "/similar", "RuntimeError"],
            "tags": [["service", "recommender-api"], ["environment", "test"]],
            "web_url": "http://127.0.0.1:9000/issues/1",
        },
        "triggered_rule": "P0",
    },
}
_EVENT = {
    "event_id": "fuzz-1",
    "type": "view",
    "user_id": 7,
    "dataset_id": 105,
    "request_id": "req_1",
    "position": 0,
    "ts": _MOMENT,
}

_OF_SENDERS = ("POST /signals", "POST /notify", "POST /webhooks", "PUT /reports")
_FORM = "application/x-www-form-urlencoded"
_FORMS = {
    "/dashboard/session": RawBody(b"token=wrong&back=silences", _FORM),
    "/dashboard/silences": RawBody(b"service=x&minutes=5&reason=an+upgrade&by=me", _FORM),
    "/dashboard/silences/{silence_id}/end": RawBody(b"back=silences", _FORM),
    "/dashboard/incidents/{incident_id}/acknowledge": RawBody(b"by=me&back=", _FORM),
}


def recommender(url: str, token: str, *, unavailable: frozenset[str] = frozenset()) -> Target:
    """Return recommender-api; `token` authorizes all its operations."""
    return Target(
        url,
        _document(url),
        lambda _operation, _body: _bearer(token),
        {"POST /events": {"events": [_EVENT, _EVENT | {"event_id": "fuzz-2"}]}},
        pages=("/health", "/metrics", "/similar/105"),
        unavailable=unavailable,
    )


def registry(url: str, token: str, archive: Path) -> Target:
    """Return model-registry; `archive` is a valid bundle."""
    return Target(
        url,
        _document(url),
        lambda _operation, _body: _bearer(token),
        {
            "POST /models/{name}/versions": _upload(archive),
            "POST /models/{name}/deployments": {"version": "1", "mode": "shadow", "reason": "a try"},
            "POST /models/{name}/rollback": {"mode": "shadow", "reason": "a try"},
            "PUT /models/{name}/aliases/{alias}": {"version": "1", "expected": "1", "reason": "a try"},
            "PATCH /models/{name}/versions/{version}": {"tags": {"team": "search"}, "description": "a try"},
        },
        pages=("/health", "/metrics", "/models", "/models/ranker/versions", "/models/ranker/deployments"),
    )


def feature_sync(url: str, token: str) -> Target:
    """Return feature-sync; `token` authorizes all its operations."""
    return Target(
        url,
        _document(url),
        lambda _operation, _body: _bearer(token),
        {
            "POST /sync": {"snapshot": "/nowhere/to/be/found"},
            "POST /verify": {"snapshot": "/nowhere/to/be/found"},
            "POST /dead-letters/replay": {"reason": "unreadable"},
            "POST /dead-letters/drop": {"ids": ["1795841917918-0"], "older_than_seconds": 3600},
            "POST /datasets/{dataset_id}/withdraw": {"reason": "Licence withdrawn"},
        },
        pages=("/health", "/metrics"),
    )


def gateway(url: str, token: str, admin_token: str, hook_secret: str) -> Target:
    """Return notification-gateway, including the forms of its dashboard."""
    signed_in = httpx.post(f"{url}/dashboard/session", data={"token": admin_token}, timeout=30)
    cookie = "; ".join(f"{name}={value}" for name, value in signed_in.cookies.items())

    def headers(operation: str, body: bytes) -> Mapping[str, str]:
        if operation == "POST /webhooks/sentry":
            return {
                "Sentry-Hook-Signature": hmac.new(hook_secret.encode(), body, hashlib.sha256).hexdigest(),
                "Sentry-Hook-Resource": "event_alert",
                "Sentry-Hook-Timestamp": str(int(datetime.now(UTC).timestamp())),
            }
        if operation.startswith("POST /dashboard"):
            return {"Cookie": cookie}
        return _bearer(token if operation.startswith(_OF_SENDERS) else admin_token)

    return Target(
        url,
        _with_forms(_document(url)),
        headers,
        {
            **{f"POST {path}": form for path, form in _FORMS.items()},
            "PUT /reports/{run}": RawBody(b"<!doctype html><p>a run</p>", "text/html"),
            "PUT /reports/{run}/checks": {"checks": [{"check": "a", "severity": "ok", "value": 0.0, "threshold": 1.0}]},
            "POST /signals": {"signals": [_SIGNAL, _SIGNAL | {"signal_id": "fuzz-2"}]},
            "POST /webhooks/alertmanager": {"version": "4", "alerts": [_MANAGED_ALERT], "truncatedAlerts": 0},
            "POST /webhooks/sentry": _HOOK,
            "POST /silences": {
                "matcher": {"service": "x", "fingerprint": ["redis", "*"]},
                "minutes": 5,
                "reason": "an upgrade",
                "created_by": "me",
            },
            "POST /notify": {"title": "backup", "text": "done", "sender": "cron", "idempotency_key": "fuzz-1"},
        },
        pages=("/health", "/metrics", "/alerts", "/silences", "/dashboard", "/dashboard/silences", "/dashboard/runs"),
        endless=frozenset({"GET /dashboard/stream"}),
    )


def _with_forms(document: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI document with the forms of the dashboard, which are not in it."""
    for path in _FORMS:
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        document["paths"][path] = {
            "post": {
                "parameters": [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "integer"}} for name in names
                ],
                "responses": {"303": {"description": "See Other"}},
            }
        }
    return document


def _document(url: str) -> dict[str, Any]:
    document: dict[str, Any] = httpx.get(f"{url}/openapi.json", timeout=30).raise_for_status().json()
    return document


def _bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _upload(archive: Path) -> RawBody:
    request = httpx.Request(
        "POST",
        "http://registry",
        files={"bundle": ("bundle.tar.gz", archive.read_bytes(), "application/gzip")},
        data={"sha256": sha256_of(archive)},
    )
    return RawBody(request.read(), request.headers["content-type"])
