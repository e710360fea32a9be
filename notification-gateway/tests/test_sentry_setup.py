"""The requests to Sentry match its API and the policy, and can be repeated."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from notification_gateway.sentry_setup.__main__ import PROJECTS, main
from running_gateway import POLICY
from testkit.command_runs import assert_civil, run_module
from testkit.odd_answers import OddServer


class Strict(BaseModel):
    """Sentry's documented shapes: https://docs.sentry.io/api/ (monitors and alerts, dashboards)."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Comparison(Strict):
    key: str | None = None
    match: Literal["co", "nc", "eq", "ne", "sw", "ew", "is", "ns", "gte", "lte"] | None = None
    value: str | int | None = None
    level: Literal[50, 40, 30, 20, 10, 0] | None = None
    interval: Literal["1min", "5min", "15min", "1h", "1d", "1w", "30d"] | None = None


class Condition(Strict):
    type: Literal["tagged_event", "level", "event_frequency_count"]
    comparison: Comparison
    condition_result: Literal[True]


class ActionConfig(Strict):
    target_type: Literal["sentry_app"]
    target_identifier: Annotated[str, Field(min_length=1)]
    sentry_app_identifier: Literal["sentry_app_installation_uuid", "sentry_app_id"]


class Action(Strict):
    type: Literal["sentry_app"]
    integration_id: None
    data: dict[str, Any]
    config: ActionConfig
    status: Literal["active"]


class Group(Strict):
    logic_type: Literal["any-short", "any", "all", "none"]
    conditions: list[Condition]
    actions: list[Action]


class Workflow(Strict):
    id: str | None = None
    name: Annotated[str, Field(max_length=256)]
    enabled: bool
    config: dict[Literal["frequency"], Literal[0, 5, 10, 30, 60, 180, 720, 1440]]
    triggers: Group
    action_filters: Annotated[list[Group], Field(min_length=1)]
    detector_ids: list[str]


class Layout(Strict):
    x: Annotated[int, Field(ge=0, le=5)]
    y: Annotated[int, Field(ge=0)]
    w: Annotated[int, Field(ge=1, le=6)]
    h: Annotated[int, Field(ge=1)]
    min_h: int


class Query(Strict):
    name: str
    fields: list[str]
    aggregates: list[str]
    columns: list[str]
    field_aliases: list[str]
    conditions: str
    orderby: str


class Widget(Strict):
    title: Annotated[str, Field(min_length=1, max_length=255)]
    display_type: Literal["line", "area", "stacked_area", "bar", "table", "big_number", "top_n"]
    widget_type: Literal["discover", "issue", "metrics", "error-events", "transaction-like", "spans"]
    interval: Literal["5m", "15m", "30m", "1h", "4h", "12h", "24h"]
    limit: Annotated[int | None, Field(ge=1, le=10)]
    queries: Annotated[list[Query], Field(min_length=1)]
    layout: Layout


class Dashboard(Strict):
    id: str | None = None
    title: Annotated[str, Field(min_length=1, max_length=255)]
    widgets: Annotated[list[Widget], Field(max_length=30)]


class Project(Strict):
    name: Annotated[str, Field(max_length=50)]
    slug: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,100}$")]
    platform: Literal["python"]


SHAPES: dict[str, type[Strict]] = {"workflows": Workflow, "dashboards": Dashboard, "projects": Project}


class FakeSentry(ThreadingHTTPServer):
    """Stores created objects, and rejects bodies of the wrong shape."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.made: dict[str, dict[str, Any]] = {"workflows": {}, "dashboards": {}, "projects": {}}
        self.installed = True
        self.url = f"http://127.0.0.1:{self.server_port}"

    def get(self, path: str) -> Any:
        kind = path.rstrip("/").rsplit("/", 1)[-1]
        if kind in ("workflows", "dashboards"):
            return list(self.made[kind].values())
        if kind == "sentry-app-installations":
            return [{"app": {"slug": "recsys-gateway"}, "uuid": "the-installation"}] if self.installed else []
        if kind == "detectors":
            return [
                {"id": str(number), "type": kind} for number, kind in enumerate(["error", "issue_stream", "metric"])
            ]
        if kind == "keys":
            return [{"dsn": {"public": f"{self.url}/{path.split('/')[5]}"}}]
        return {"id": "7"}

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        kind = next(name for name in SHAPES if f"/{name}/" in path)
        SHAPES[kind].model_validate(body)
        name = body.get("name") or body.get("title")
        existed = name in self.made[kind]
        self.made[kind].setdefault(name, {"id": str(len(self.made[kind]))})
        if existed and kind == "projects":
            return 409, {}
        assert existed is bool(re.search(r"/\d+/$", path)), "PUT for what is there, POST for what isn't"
        self.made[kind][name] |= body
        return 201, self.made[kind][name]


class _Handler(BaseHTTPRequestHandler):
    server: FakeSentry

    def do_GET(self) -> None:
        self._answer(200, self.server.get(self.path.partition("?")[0]))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            self._answer(*self.server.post(self.path, body))
        except (ValueError, AssertionError) as error:
            self._answer(400, {"detail": str(error)})

    do_PUT = do_POST

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status if self.headers.get("Authorization") == "Bearer t" else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so in the base class
        """Silence."""


@pytest.fixture
def sentry() -> Iterator[FakeSentry]:
    server = FakeSentry()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def provision(sentry: FakeSentry, token: str = "t") -> int:
    return main(["--url", sentry.url, "--org", "o", "--team", "t", "--token", token, "--policy", str(POLICY)])


def test_projects_keys_workflows_and_three_dashboards_are_made_once(
    sentry: FakeSentry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [provision(sentry), provision(sentry)] == [0, 0]
    assert set(sentry.made["projects"]) == set(PROJECTS)
    assert set(sentry.made["workflows"]) == {
        "recsys: Critical Failures",
        "recsys: Degradation Events",
        "recsys: Hourly and Weekly Runs",
        "recsys: Quality Issues",
    }
    assert set(sentry.made["dashboards"]) == {"recsys: Live", "recsys: Data quality", "recsys: Models"}
    assert f"SENTRY_DSN of pipeline: {sentry.url}/pipeline" in capsys.readouterr().out


def points(workflow: dict[str, Any]) -> set[str]:
    return {group["conditions"][0]["comparison"]["value"] for group in workflow["actionFilters"]}


def test_a_workflow_names_the_points_that_its_rule_can_match(sentry: FakeSentry) -> None:
    provision(sentry)
    made = sentry.made["workflows"]
    assert points(made["recsys: Critical Failures"]) == {
        "airflow.task_failed",
        "api.unavailable",
        "model.deployment_failed",
        "model.not_converged",
        "pipeline.dag_import_failed",
        "pipeline.database",
        "pipeline.no_recent_run",
    }
    assert "redis.connection_failed" in points(made["recsys: Degradation Events"])
    assert {"weixin.send_message_failed", "pipeline.step_failed"} <= points(made["recsys: Quality Issues"])
    rates = [
        condition["comparison"]
        for group in made["recsys: Degradation Events"]["actionFilters"]
        for condition in group["conditions"]
        if condition["type"] == "event_frequency_count"
    ]
    assert rates
    assert all(rate == {"value": 10, "interval": "1h"} for rate in rates)
    assert made["recsys: Critical Failures"]["config"] == {"frequency": 5}
    assert made["recsys: Critical Failures"]["detectorIds"] == ["0", "1"]


def test_a_rejection_of_sentry_is_printed(sentry: FakeSentry, capsys: pytest.CaptureFixture[str]) -> None:
    assert provision(sentry, token="wrong") == 2
    assert "HTTP 401" in capsys.readouterr().err
    sentry.installed = False
    assert provision(sentry) == 1
    assert "there is no internal integration 'recsys-gateway'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "message"),
    [
        ((), {"SENTRY_AUTH_TOKEN": "hush-hush\n"}, 2, "SENTRY_AUTH_TOKEN"),
        ((), {"SENTRY_AUTH_TOKEN": "hush-hush-密钥"}, 2, "SENTRY_AUTH_TOKEN"),
        (("--url", "http://hush-hush..a"), {}, 2, "--url"),
        (("--org", "a/../b"), {}, 2, "--org"),
        (("--policy", "/dev/null/x"), {}, 2, "/dev/null/x:1: cannot be read"),
        (("--url", "http://127.0.0.1:1"), {}, 3, "can't be reached"),
    ],
)
def test_an_invalid_option_is_named_and_its_value_not_printed(
    arguments: tuple[str, ...], environment: dict[str, str], code: int, message: str
) -> None:
    usual = ("--url", "http://127.0.0.1:1", "--org", "o", "--team", "t", "--policy", str(POLICY))
    given = {"SENTRY_AUTH_TOKEN": "hush-hush", **environment}
    ran = run_module("notification_gateway.sentry_setup", [*usual, *arguments], given)
    assert_civil(ran, "hush-hush")
    assert (ran.returncode, message in ran.stderr.decode()) == (code, True), ran.stderr


@pytest.mark.parametrize(
    "body", [b"<html>Bearer the-token</html>", b"[", b"[]", b"{}", b"[1]", b'[{"app": 1}]', b"null"]
)
def test_an_answer_that_is_not_sentrys_is_an_outage_or_a_rejection(
    body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with OddServer() as odd:
        odd.will_answer(body)
        code = main(["--url", odd.url, "--org", "o", "--team", "t", "--token", "the-token", "--policy", str(POLICY)])
    assert code == (1 if body in (b"[]", b"{}") else 3)
    assert "the-token" not in capsys.readouterr().err
