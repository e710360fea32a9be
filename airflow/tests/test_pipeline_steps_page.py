"""docs/PIPELINE_STEPS.md: each example runs, and what the page says of it arrives at collector and gateway."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import monitoring
from contracts.signals import AlertSignal
from monitoring import MonitoringSettings
from testkit.fake_server import FakeServer

POLICY = Path(__file__).parents[2] / "deploy" / "alerts.yaml"
PAGE = (Path(__file__).parents[2] / "docs" / "PIPELINE_STEPS.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SCRIPT, *EXAMPLES = [text for language, text in BLOCKS if language == "python"]

# The events and recoveries of each example after the first, in order.
ARRIVALS = [
    (["pipeline.step_failed"], ["pipeline.step_failed"]),
    (["pipeline.database", "pipeline.feature_store_sync", "pipeline.model_training"], ["pipeline.database"]),
    (["pipeline.critical_step_failed"], []),
    ([], []),
    (["pipeline.database"], ["pipeline.database"]),
]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    running = FakeServer()
    running.start()
    yield running
    monitoring.shutdown()
    running.stop()


def run_script(folder: Path, text: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = folder / "load_prices.py"
    path.write_text(text)
    given = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(
        [sys.executable, path], env=given, capture_output=True, text=True, timeout=60, check=False, cwd=folder
    )


def expect_priority(folder: Path, policy: Path, fingerprint: list[str], level: str, priority: str) -> None:
    """Have `alertctl test` judge a signal."""
    signal = AlertSignal(
        signal_id="any",
        kind="fired",
        monitoring_point="pipeline.any",
        fingerprint=fingerprint,
        level=level,
        category=fingerprint[0],
        service="price-loader",
        environment="production",
        message="any",
        first_seen=datetime.now(UTC),
        last_seen=datetime.now(UTC),
    )
    path = folder / "signal.json"
    path.write_text(signal.model_dump_json(), encoding="utf-8")
    alertctl = Path(sys.executable).with_name("alertctl")
    command = [alertctl, "test", "--policy", policy, "--expect", priority, path]
    judged = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def points(signals: list[dict[str, Any]], kind: str) -> list[str]:
    return [each["monitoring_point"] for each in signals if each["kind"] == kind]


def test_the_page_leads_with_a_whole_script_whose_events_and_output_are_as_it_says(
    server: FakeServer, tmp_path: Path
) -> None:
    delivery = {"SENTRY_DSN": server.dsn, "GATEWAY_URL": server.url, "GATEWAY_TOKEN": "any"}
    ran = run_script(tmp_path, SCRIPT, **delivery)
    assert ran.returncode == 1
    console = next(text for language, text in BLOCKS if language == "console")
    printed = [line for line in console.splitlines() if not line.startswith("$ ") and line != "…"]
    assert [line for line in printed if line not in ran.stderr.splitlines()] == []
    shown = json.loads(next(text for language, text in BLOCKS if language == "json"))
    event = next(each for each in server.events if each["transaction"] == shown["transaction"])
    assert shown["tags"].items() <= event["tags"].items()
    assert {name: event[name] for name in ("level", "fingerprint")} == {
        name: shown[name] for name in ("level", "fingerprint")
    }
    assert event["contexts"].keys() >= {"os", "runtime"}
    assert event["modules"]
    fired = ["pipeline.data_quality", "pipeline.critical_step_failed"]
    assert points(server.signals, "fired") == fired
    corrected = SCRIPT.replace('"a lot"', "12").replace('"price": None', '"price": 3')
    assert run_script(tmp_path, corrected, **delivery).returncode == 0
    assert points(server.signals, "recovered") == fired


def test_the_script_runs_without_monitoring_and_warns_once(tmp_path: Path) -> None:
    ran = run_script(tmp_path, SCRIPT.replace("    monitoring.init(", "    print("))
    assert ran.stderr.count("monitoring.init()") == 1
    warning = re.search(r"`(monitor_pipeline_step\('load_prices'\) reports nothing[^`]*)`", PAGE)
    assert warning is not None
    assert warning[1] in ran.stderr
    assert "ValueError: could not convert string to float: 'a lot'" in ran.stderr


@pytest.mark.parametrize(("example", "arrivals"), list(zip(EXAMPLES, ARRIVALS, strict=True)))
def test_each_example_runs_and_reports_what_the_page_says(
    server: FakeServer, example: str, arrivals: tuple[list[str], list[str]]
) -> None:
    monitoring.init("sample", MonitoringSettings(sentry_dsn=server.dsn, gateway_url=server.url))
    exec(compile(example, "docs/PIPELINE_STEPS.md", "exec"), {"__name__": "example"})
    monitoring.flush(10)
    assert ([event["transaction"] for event in server.events], points(server.signals, "recovered")) == arrivals


def test_the_shipped_policy_notifies_as_the_page_says(tmp_path: Path) -> None:
    rows = re.findall(r"^\| (?:a|an) .* \| (error|warning|info) \| (P\d)?", PAGE, re.MULTILINE)
    step, check = ["pipeline", "load_prices", "ValueError"], ["data_quality", "missing_prices"]
    fingerprints = [step, step, check, check, check, ["database", "prices", "read_prices", "OSError"]]
    for (level, priority), fingerprint in zip(rows, fingerprints, strict=True):
        expect_priority(tmp_path, POLICY, fingerprint, level, priority or "none")


def test_the_rule_of_the_page_notifies_at_once(tmp_path: Path) -> None:
    policy = tmp_path / "alerts.yaml"
    rule = next(text for language, text in BLOCKS if language == "yaml")
    policy.write_text(POLICY.read_text(encoding="utf-8") + rule, encoding="utf-8")
    expect_priority(tmp_path, policy, ["pipeline", "load_prices", "ValueError"], "error", "P0")


def test_plain_tags_and_contexts_are_in_the_event(server: FakeServer) -> None:
    monitoring.init("sample", MonitoringSettings(sentry_dsn=server.dsn))
    (example,) = [text for text in EXAMPLES if "set_context" in text]
    exec(compile(example, "docs/PIPELINE_STEPS.md", "exec"), {"__name__": "example"})
    monitoring.flush(10)
    (event,) = server.events
    assert event["tags"]["source"] == "partner-a"
    assert event["contexts"]["file"] == {"name": "suppliers.csv", "rows": 1200}
