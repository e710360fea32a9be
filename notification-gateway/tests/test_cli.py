"""`alertctl check` and `alertctl test`: problems of a policy, and the decision about an event."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notification_gateway.cli import main
from running_gateway import POLICY, signal
from testkit.command_runs import assert_civil, run_module


@pytest.fixture
def event(tmp_path: Path) -> Path:
    path = tmp_path / "event.json"
    path.write_text(signal(("model", "deployment_failed")).model_dump_json(), encoding="utf-8")
    return path


def write(path: Path, **fields: object) -> str:
    path.write_text(json.dumps(fields), encoding="utf-8")
    return str(path)


def test_the_default_policy_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(POLICY)]) == 0
    assert capsys.readouterr().out == f"{POLICY}: valid, 4 rules\n"


def test_an_invalid_policy_is_rejected_with_line_and_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(POLICY.read_text(encoding="utf-8").replace('[airflow, "*", "*"]', "[airflow, *, *]"), "utf-8")
    assert main(["check", str(path)]) == 1
    line = next(
        number for number, text in enumerate(path.read_text("utf-8").splitlines(), 1) if "[airflow, *, *]" in text
    )
    assert capsys.readouterr().err.startswith(f"{path}:{line}: a bare * is not YAML")


def test_each_mistake_has_its_own_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(
        "defaults: {error: P9}\nrules:\n  - name: a\n    priority: P0\n    conditions: [{category: x}]\n"
        "    actions: [{alert: immediate, channel: dashboard}]\n",
        encoding="utf-8",
    )
    assert main(["check", str(path)]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{path}:1: defaults.error")
    assert second.startswith(f"{path}:6: ")
    assert "the dashboard sends no immediate messages" in second


@pytest.mark.parametrize("command", [["check", "nowhere.yaml"], ["test", "nowhere.json", "--policy", str(POLICY)]])
def test_a_missing_file_is_a_usage_error(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert "nowhere" in capsys.readouterr().err


def test_an_invalid_event_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", write(tmp_path / "e.json", level="error"), "--policy", str(POLICY)]) == 2
    assert "fingerprint" in capsys.readouterr().err


def test_the_rule_that_matches_an_event_is_named_with_the_reasons(
    event: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", str(event), "--policy", str(POLICY)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["P0: immediate by weixin", "rule 'Critical Failures', condition 2"]
    assert "Critical Failures, condition 2: yes" in lines
    assert any(line.startswith("Critical Failures, condition 1: no, fingerprint is") for line in lines)


def test_an_event_of_the_collector_is_read_by_its_tags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event = write(
        tmp_path / "event.json",
        event_id="0" * 32,
        fingerprint=["fallback", "redis_failed"],
        level="warning",
        tags=[["monitoring_point", "fallback.redis_failed"], ["service", "recommender-api"]],
    )
    assert main(["test", event, "--policy", str(POLICY), "--json", "--earlier", "9"]) == 0
    assert json.loads(capsys.readouterr().out)["rule"] is None
    assert main(["test", event, "--policy", str(POLICY), "--json", "--earlier", "10"]) == 0
    decision = json.loads(capsys.readouterr().out)
    assert (decision["priority"], decision["rule"]) == ("P1", "Degradation Events")
    assert decision["reason"].endswith("11 is > 10 per hour")


def category(fields: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the category that an event is evaluated by."""
    policy = tmp_path / "p.yaml"
    known = ["data_quality", "pipeline", "api", "database", "get_similar", "ours", "sentry"]
    rules = "".join(
        f"  - {{name: {each}, conditions: [{{category: {each}}}], actions: [{{alert: immediate, channel: weixin}}]}}\n"
        for each in known
    )
    policy.write_text(f"defaults: {{error: none}}\nrules:\n{rules}", "utf-8")
    assert main(["test", write(tmp_path / "e.json", **fields), "--policy", str(policy), "--json"]) == 0
    return str(json.loads(capsys.readouterr().out)["rule"])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"fingerprint": ["data_quality", "c"], "tags": {"monitoring_point": "pipeline.data_quality"}},
            "data_quality",
        ),
        ({"fingerprint": ["x", "c"], "monitoring_point": "pipeline.data_quality"}, "data_quality"),
        ({"fingerprint": ["x"], "tags": [["monitoring_point", "pipeline.database"]]}, "database"),
        ({"fingerprint": ["get_similar", "timeout"]}, "api"),
        ({"fingerprint": ["data_quality", "null_share"]}, "data_quality"),
        ({"fingerprint": ["ours", "x"], "tags": {"monitoring_point": "ours.thing"}}, "ours"),
        ({"fingerprint": ["ours", "x"]}, "ours"),
        ({"fingerprint": ["get_similar", "timeout"], "category": "sentry"}, "sentry"),
    ],
)
def test_an_event_is_judged_by_the_catalogues_category_of_its_point(
    fields: dict[str, object], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert category(fields, tmp_path, capsys) == expected


@pytest.mark.parametrize(("expected", "code"), [("P0", 0), ("P1", 1)])
def test_ci_can_check_the_priority_of_an_event(event: Path, expected: str, code: int) -> None:
    assert main(["test", str(event), "--policy", str(POLICY), "--expect", expected]) == code


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (POLICY.read_bytes() + b"# \x0b\n", 1, "unacceptable character U+000B"),
        ("defaults: {error: P1}\n# 告警\n".encode("gbk"), 1, "not UTF-8"),
        (b"defaults: {error: P1}\nrules: " + b"[" * 10_000, 1, "nested deeper"),
        (b"", 1, "the file is empty"),
    ],
)
def test_a_policy_that_yaml_cannot_read_is_named_with_its_line(
    tmp_path: Path, content: bytes, code: int, message: str
) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_bytes(content)
    ran = run_module("notification_gateway.cli", ["check", str(path)], {"LANG": "C"})
    assert_civil(ran)
    line = max(1, content.count(b"\n") if content.endswith(b"\n") else content.count(b"\n") + 1)
    assert ran.returncode == code
    assert ran.stderr.decode().startswith(f"{path}:{line}: {message}")


def test_a_file_that_cannot_be_opened_is_a_usage_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.yaml", Path("x" * 5000)):
        ran = run_module("notification_gateway.cli", ["check", str(path)])
        assert_civil(ran)
        assert ran.returncode == 2
        assert ":1: cannot be read: " in ran.stderr.decode()


@pytest.mark.parametrize("tags", [[1], "text", [["a"]], [[[], 1]], {"service": None}, 7])
def test_tags_of_another_shape_are_a_usage_error_or_ignored(tmp_path: Path, tags: object) -> None:
    event = write(tmp_path / "event.json", fingerprint=["model", "deployment_failed"], tags=tags)
    assert main(["test", event, "--policy", str(POLICY)]) in (0, 2)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["fingerprint", "level", "category", "service", "occurrences", "tags"]), inner, max_size=4
        )
    ),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(event=_JSON | st.binary(max_size=40), earlier=st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
def test_any_event_ends_with_a_documented_exit_code(tmp_path: Path, event: bytes, earlier: str) -> None:
    path = tmp_path / "event.json"
    path.write_bytes(event)
    for arguments in ([], [f"--earlier={earlier}"]):
        try:
            code = main(["test", str(path), "--policy", str(POLICY), *arguments])
        except SystemExit as ended:
            code = int(str(ended.code))
        assert code in (0, 1, 2)


@settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    policy=st.binary(max_size=60).map(lambda value: value.replace(b"\0", b"")),
    words=st.lists(
        st.sampled_from([b"check", b"test", b"--policy", b"--expect", b"--json", b"--earlier", b"P0", b"1"])
        | st.binary(max_size=10).map(lambda value: value.replace(b"\0", b"")),
        max_size=4,
    ),
)
def test_any_arguments_end_with_a_documented_exit_code(tmp_path: Path, policy: bytes, words: list[bytes]) -> None:
    (tmp_path / "alerts.yaml").write_bytes(policy)
    for arguments in (words, ["check", str(tmp_path / "alerts.yaml")]):
        assert_civil(run_module("notification_gateway.cli", arguments, {b"ALERT_POLICY": policy or b"x"}))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["check", str(POLICY)], 0), (["list"], 3), (["show", "1"], 3), (["ping", "email", "--token", "t"], 3)],
)
def test_a_command_imports_nothing_that_only_the_gateway_needs(arguments: list[str], code: int) -> None:
    program = f"""
import sys
from notification_gateway.cli import main
code = main({arguments!r})
found = {{"fastapi", "sqlalchemy", "alembic", "sentry_sdk", "monitoring", "servicekit", "jinja2"}} & sys.modules.keys()
sys.exit(f"imported: {{found}}" if found else code)
"""
    environment = {**os.environ, "GATEWAY_URL": "http://127.0.0.1:1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
