"""`alertctl` for people and for CI: what is wrong with a policy, and where an event would go."""

import json
from pathlib import Path

import pytest

from notification_gateway.cli import main
from running_gateway import POLICY, signal


@pytest.fixture
def event(tmp_path: Path) -> Path:
    path = tmp_path / "event.json"
    path.write_text(signal(("model", "deployment_failed")).model_dump_json(), encoding="utf-8")
    return path


def write(path: Path, **fields: object) -> str:
    path.write_text(json.dumps(fields), encoding="utf-8")
    return str(path)


def test_the_shipped_policy_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(POLICY)]) == 0
    assert capsys.readouterr().out == f"{POLICY}: valid, 3 rules\n"


def test_a_bad_policy_is_refused_with_line_and_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert "the dashboard tells nobody at once" in second


@pytest.mark.parametrize("command", [["check", "nowhere.yaml"], ["test", "nowhere.json", "--policy", str(POLICY)]])
def test_a_missing_file_is_a_wrong_call(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert "nowhere" in capsys.readouterr().err


def test_what_is_no_event_is_a_wrong_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", write(tmp_path / "e.json", level="error"), "--policy", str(POLICY)]) == 2
    assert "fingerprint" in capsys.readouterr().err


def test_the_rule_that_takes_an_event_is_named_with_the_reasons(
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


@pytest.mark.parametrize(("expected", "code"), [("P0", 0), ("P1", 1)])
def test_ci_can_pin_where_an_event_goes(event: Path, expected: str, code: int) -> None:
    assert main(["test", str(event), "--policy", str(POLICY), "--expect", expected]) == code
