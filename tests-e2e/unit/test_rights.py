"""The table of docs/RIGHTS.md is what the four services do, for every route and every kind of token."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from pydantic import SecretStr

import feature_sync.app
import feature_sync.settings
import model_registry.app
import model_registry.settings
import notification_gateway.app
import notification_gateway.settings
import recommender_api.app
import recommender_api.settings
from localservers.waiting import wait_until
from registryctl import cli
from servicekit.rights import ROLES, rights
from testkit.redis_server import RedisServer
from testkit.running_app import RunningApp

_DOCS = Path(__file__).parents[2] / "docs"
_ROOT = "the-first-admin"
_SERVICES = ("recommender-api", "model-registry", "feature-sync", "notification-gateway")
_REJECTED = (401, 403)
# Its answer does not end.
_NOT_CALLED = "GET /dashboard/stream"


class Row(NamedTuple):
    """A row of the table."""

    label: str
    without: str
    roles: frozenset[str]


def read_table(service: str) -> list[Row]:
    page = (_DOCS / "RIGHTS.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {service}\n")[2].partition("\n## ")[0]
    rows = []
    for line in re.findall(r"^\| `[A-Z]+ /.*$", section, re.MULTILINE):
        label, without, *cells = (cell.strip().strip("`") for cell in line.strip("|").split(" | "))
        named = zip(ROLES, cells, strict=True)
        rows.append(Row(label, without, frozenset(role for role, cell in named if cell.strip(" |") == "yes")))
    return rows


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[dict[str, RunningApp]]:
    """The four services as in production, without a model; the named tokens are the registry's."""
    folder = tmp_path_factory.mktemp("stack")
    database = SecretStr(f"sqlite:///{folder}/recsys.db")
    with ExitStack() as opened:
        registry = opened.enter_context(
            RunningApp(
                model_registry.app.create_app(
                    model_registry.settings.Settings(
                        environment="production",
                        database_url=database,
                        artifact_url=str(folder / "artifacts"),
                        registry_token=SecretStr(_ROOT),
                        registry_read_token=SecretStr("of-readers"),
                    )
                )
            )
        )
        shared = {"registry_url": registry.url, "registry_read_token": "of-readers"}
        apps = {
            "recommender-api": recommender_api.app.create_app(
                recommender_api.settings.Settings(
                    redis_url=redis_server.url,
                    registry_url=registry.url,
                    registry_replica_token=SecretStr("of-readers"),
                    model_cache_dir=folder / "models",
                    event_journal_dir=folder / "journal",
                    admin_token=SecretStr("of-the-service"),
                    events_token=SecretStr("of-events"),
                )
            ),
            "feature-sync": feature_sync.app.create_app(
                feature_sync.settings.Settings(
                    redis_url=SecretStr(redis_server.url), database_url=database, admin_token="of-the-service", **shared
                )
            ),
            "notification-gateway": notification_gateway.app.create_app(
                notification_gateway.settings.Settings(
                    database_url=database,
                    alert_policy=_DOCS.parent / "deploy" / "alerts.yaml",
                    admin_token="of-the-service",
                    gateway_token="of-signals",
                    **shared,
                )
            ),
        }
        running = {name: opened.enter_context(RunningApp(app)) for name, app in apps.items()}
        yield {**running, "model-registry": registry}


@pytest.fixture(scope="module")
def secrets(stack: dict[str, RunningApp]) -> dict[str, str]:
    """A token of each role: named ones, and those that are only in the environment."""
    made = {}
    for role in ("reader", "replica", "ci", "admin"):
        created = stack["model-registry"].post("/tokens", {"name": f"a-{role}", "role": role}, token=_ROOT)
        assert created.status_code == 201, created.text
        made[role] = str(created.json()["token"])
    for name, path in (
        ("recommender-api", "/models/reload"),
        ("feature-sync", "/sync"),
        ("notification-gateway", "/silences"),
    ):
        wait_until(
            lambda name=name, path=path: stack[name].post(path, token=made["ci"]).status_code == 403,
            within=60,
            what=f"{name} knows the named tokens",
        )
    return {**made, "events": "of-events", "signals": "of-signals"}


@pytest.mark.parametrize("service", _SERVICES)
def test_every_route_answers_each_kind_of_token_as_the_table_says(
    service: str, stack: dict[str, RunningApp], secrets: dict[str, str]
) -> None:
    """Rejected is 401 without a known token and 403 with another role's; all else is an answer of the route."""
    running, rows = stack[service], read_table(service)
    wrong, calls = [], 0
    for row in rows:
        if row.label == _NOT_CALLED:
            continue
        is_open = row.without == "yes"
        is_checked_otherwise = row.without not in ("yes", "–", "PUBLIC_READS")
        for kind, secret in {"none": None, "wrong": "no-token", **secrets}.items():
            # The service knows the environment's tokens of its own alone.
            is_known = kind in ("reader", "replica", "ci", "admin") or (service, kind) in (
                ("recommender-api", "events"),
                ("notification-gateway", "signals"),
            )
            if is_checked_otherwise:
                expected = "rejected" if row.without.startswith("a session") else None
            elif is_open or (is_known and kind in row.roles):
                expected = "answered"
            else:
                expected = "403" if is_known else "401"
            status = _call(running, row.label, secret)
            calls += 1
            if expected is not None and not _fits(status, expected):
                wrong.append(f"{row.label} with {kind}: {status}, expected {expected}")
    assert wrong == []
    assert calls > 5 * len(secrets)


@pytest.mark.parametrize("service", _SERVICES)
def test_the_table_has_every_route_and_no_change_is_open_to_everybody(service: str) -> None:
    rows = {row.label: row for row in read_table(service)}
    modules = {
        "recommender-api": (recommender_api.app, recommender_api.settings),
        "model-registry": (model_registry.app, model_registry.settings),
        "feature-sync": (feature_sync.app, feature_sync.settings),
        "notification-gateway": (notification_gateway.app, notification_gateway.settings),
    }
    app, settings = modules[service]
    assert sorted(rows) == sorted(right.label for right in rights(app.create_app(settings.Settings())))
    changing = [row for row in rows.values() if not row.label.startswith(("GET ", "HEAD "))]
    assert [row.label for row in changing if row.without in ("yes", "PUBLIC_READS")] == []


def test_the_dashboard_opens_to_a_named_admin_until_the_token_is_revoked(
    stack: dict[str, RunningApp], secrets: dict[str, str]
) -> None:
    registry, gateway = stack["model-registry"], stack["notification-gateway"]
    secret = str(registry.post("/tokens", {"name": "li.wei", "role": "admin"}, token=_ROOT).json()["token"])
    silence = {"service": "x", "minutes": "5", "reason": "an upgrade", "by": "li.wei"}
    with httpx.Client(base_url=gateway.url) as browser:
        wait_until(
            lambda: browser.post("/dashboard/session", data={"token": secret}).status_code == 303,
            within=60,
            what="the gateway knows the token",
        )
        assert browser.post("/dashboard/session", data={"token": secrets["ci"]}).status_code == 401
        assert browser.post("/dashboard/silences", data=silence).status_code == 303
        registry.http.delete("/tokens/li.wei", headers=_bearer(_ROOT)).raise_for_status()
        wait_until(
            lambda: browser.post("/dashboard/silences", data=silence).status_code == 401,
            within=60,
            what="the session has ended with the token",
        )


def _call(running: RunningApp, label: str, secret: str | None) -> int:
    method, _, path = label.partition(" ")
    # A token of another name, so that no call ends those of the test.
    path = re.sub(r"\{(\w+)[^}]*\}", lambda found: {"name": "ranker"}.get(found[1], "1"), path)
    return running.http.request(method, path, headers={} if secret is None else _bearer(secret)).status_code


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def _fits(status: int, expected: str) -> bool:
    if expected == "answered":
        return status not in _REJECTED
    return str(status) == expected or (expected == "rejected" and status in _REJECTED)


def test_one_command_lists_the_changes_of_all_services_with_who_and_why(
    stack: dict[str, RunningApp], secrets: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A forgotten user's id is not in it."""
    registry, sync, gateway = stack["model-registry"], stack["feature-sync"], stack["notification-gateway"]
    admin = secrets["admin"]
    assert sync.post("/datasets/633/withdraw", {"reason": "licence ended"}, token=admin).status_code == 201
    sync.http.delete("/users/70077007", headers=_bearer(admin)).raise_for_status()
    silence = {"matcher": {"service": "x"}, "minutes": 5, "reason": "an upgrade", "created_by": "li.wei"}
    assert gateway.post("/silences", silence, token=admin).status_code == 201
    assert registry.post(
        "/models/ranker/deployments", {"version": "9", "reason": "a try"}, token=secrets["ci"]
    ).is_error
    with httpx.Client(base_url=gateway.url) as browser:
        browser.post("/dashboard/session", data={"token": admin})
        form = {"service": "y", "minutes": "5", "reason": "by the form", "by": "zhang.wei"}
        assert browser.post("/dashboard/silences", data=form).status_code == 303
    arguments = ["--url", registry.url, "--token", secrets["reader"], "history", "--limit", "1000", "--json"]
    assert cli.main([*arguments, "--also", sync.url, "--also", gateway.url]) == cli.OK
    listed = json.loads(capsys.readouterr().out)["entries"]
    found = [(each["token"], each["target"], each["status"], each["by"], each["reason"]) for each in listed]
    for expected in (
        ("a-admin", "/datasets/633/withdraw", 201, None, "licence ended"),
        ("a-admin", "/silences", 201, "li.wei", "an upgrade"),
        ("a-admin", "/dashboard/silences", 303, "zhang.wei", "by the form"),
        ("a-ci", "/models/ranker/deployments", 404, None, "a try"),
        ("a-admin", "DELETE /users/{user_id:id}", 200, None, None),
    ):
        assert expected in found
    assert "70077007" not in str(listed)
