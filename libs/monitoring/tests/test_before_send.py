"""The hook SENTRY_BEFORE_SEND changes or drops events, never signals; its faults lose nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
from pydantic import ValidationError

import monitoring
from monitoring import MonitoringSettings
from testkit.fake_server import FakeServer

_HOOKS = """
seen = []
hints = []

def add_tag(event, hint):
    seen.append(event)
    hints.append(hint)
    event["tags"]["team"] = "search"
    return event

def drop_warnings(event, hint):
    return None if event["level"] == "warning" else event

def drop_all(event, hint):
    return None

def break_after_a_change(event, hint):
    event["tags"].clear()
    raise LookupError("the hook is broken")

def exit(event, hint):
    raise SystemExit(3)

def return_text(event, hint):
    return "not an event"

def return_nan(event, hint):
    event["extra"] = {"share": float("nan")}
    return event

class Secretive:
    def __str__(self):
        return "configured-canary"

def leak(event, hint):
    event["extra"] = {"password": "hook-canary", "object": Secretive(), "url": "redis://u:url-canary@h/0"}
    return event

def rewrite(event, hint):
    return event | {"event_id": "0" * 32, "fingerprint": ["mine"], "level": "info"}

async def coroutine(event, hint):
    return event

constant = 3
"""


@pytest.fixture(autouse=True)
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "sample_hooks.py").write_text(_HOOKS)
    (tmp_path / "broken_hooks.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda: sys.modules["sample_hooks"]
    sys.modules.pop("sample_hooks", None)


def start(settings: MonitoringSettings, hook: str, **changes: Any) -> None:
    given = settings.model_dump() | {"sentry_before_send": f"sample_hooks.{hook}"} | changes
    monitoring.init("tested", MonitoringSettings(**given), secrets=["configured-canary"])


def report() -> str | None:
    return monitoring.report("pipeline.database", error=OSError("gone"), operation="read", database="b")


def test_the_hook_gets_the_finished_event_and_its_change_is_sent(
    settings: MonitoringSettings, fake_server: FakeServer, hooks: Any
) -> None:
    start(settings, "add_tag")
    event_id = report()
    monitoring.flush()
    (event,) = fake_server.events
    assert (event["event_id"], event["tags"]["team"]) == (event_id, "search")
    (given,), (hint,) = hooks().seen, hooks().hints
    assert given["fingerprint"] == ["database", "b", "read", "OSError"]
    assert given["tags"]["service"] == "tested"
    assert given["contexts"]["os"]["name"]
    assert given["modules"]["sentry-sdk"]
    assert hint["exc_info"][0] is OSError
    assert list(hint) == ["exc_info"]


def test_a_dropped_event_is_counted_and_leaves_no_outline_and_its_signal_goes_all_the_same(
    settings: MonitoringSettings, fake_server: FakeServer, tmp_path: Path
) -> None:
    start(settings, "drop_all", spool_dir=tmp_path / "spool")
    report()
    monitoring.report("redis.connection_failed", error=OSError())
    monitoring.flush()
    assert fake_server.events == []
    assert [each["monitoring_point"] for each in fake_server.signals] == [
        "pipeline.database",
        "redis.connection_failed",
    ]
    assert monitoring.counters()["events_filtered"] == 2
    assert monitoring.counters()["events_delivered"] == 0
    assert not [path for path in (tmp_path / "spool" / "events").rglob("*-*") if path.is_file()]


def test_a_hook_may_drop_some_events_only(settings: MonitoringSettings, fake_server: FakeServer) -> None:
    start(settings, "drop_warnings")
    monitoring.report("redis.connection_failed", error=OSError())
    report()
    monitoring.flush()
    assert [event["level"] for event in fake_server.events] == ["error"]


@pytest.mark.parametrize("hook", ["break_after_a_change", "exit", "return_text", "return_nan"])
def test_a_hook_that_fails_changes_nothing_and_is_counted_and_logged_once(
    settings: MonitoringSettings, fake_server: FakeServer, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    start(settings, hook)
    report()
    monitoring.report("redis.connection_failed", error=OSError())
    monitoring.flush()
    assert sorted(event["tags"]["monitoring_point"] for event in fake_server.events) == [
        "pipeline.database",
        "redis.connection_failed",
    ]
    assert all("extra" not in event for event in fake_server.events)
    assert monitoring.counters()["before_send_failures"] == 2
    assert [record.message for record in caplog.records if "SENTRY_BEFORE_SEND" in record.message] == [
        "SENTRY_BEFORE_SEND failed: its events are sent unchanged; further failures are only counted"
    ]


def test_what_a_hook_adds_is_redacted(settings: MonitoringSettings, fake_server: FakeServer) -> None:
    start(settings, "leak")
    report()
    monitoring.flush()
    (event,) = fake_server.events
    assert event["extra"] == {"password": "[redacted]", "object": "[redacted]", "url": "redis://[redacted]@h/0"}
    assert not [name for name in ("configured-canary", "hook-canary", "url-canary") if name in json.dumps(event)]


def test_the_hooks_word_is_final_but_for_the_events_id_and_never_reaches_the_signal(
    settings: MonitoringSettings, fake_server: FakeServer
) -> None:
    start(settings, "rewrite")
    event_id = report()
    monitoring.flush()
    (event,), (alert,) = fake_server.events, fake_server.signals
    assert (event["event_id"], event["fingerprint"], event["level"]) == (event_id, ["mine"], "info")
    assert (alert["event_id"], alert["fingerprint"], alert["level"]) == (
        event_id,
        ["database", "b", "read", "OSError"],
        "error",
    )


def test_events_that_are_captured_by_the_sdk_itself_pass_the_hook_too(
    settings: MonitoringSettings, fake_server: FakeServer
) -> None:
    start(settings, "add_tag")
    sentry_sdk.capture_message("by hand")
    monitoring.flush()
    (event,) = fake_server.events
    assert (event["tags"]["team"], event["tags"]["service"]) == ("search", "tested")
    assert event["contexts"]["os"]["name"]


@pytest.mark.parametrize(("hook", "expected"), [("add_tag", ["search"]), ("drop_all", [])])
def test_an_outline_that_a_killed_process_left_passes_the_hook_before_it_is_sent(
    settings: MonitoringSettings, fake_server: FakeServer, tmp_path: Path, until: Any, hook: str, expected: list[str]
) -> None:
    program = (
        "import monitoring, os, signal\n"
        "from monitoring.collector import CollectorPath\n"
        "CollectorPath.send = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "monitoring.init('killed', monitoring.MonitoringSettings())\n"
        "monitoring.report('pipeline.database', error=OSError(), operation='read', database='b')\n"
        "import time; time.sleep(30)\n"
    )
    variables = {"SENTRY_DSN": fake_server.dsn, "SPOOL_DIR": str(tmp_path / "spool"), "PATH": os.environ["PATH"]}
    killed = subprocess.run([sys.executable, "-c", program], env=variables, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    start(settings, hook, spool_dir=tmp_path / "spool")
    until(lambda: fake_server.events or monitoring.counters()["events_filtered"])
    assert [event["tags"]["team"] for event in fake_server.events] == expected
    assert all("monitoring_outline" not in header for header in fake_server.envelope_headers)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("before_send", "'before_send' is not a dotted path such as my_package.events.before_send"),
        ("no_such_module.hook", "no_such_module cannot be imported (ModuleNotFoundError: No module named"),
        ("broken_hooks.hook", "broken_hooks cannot be imported (ZeroDivisionError: division by zero)"),
        ("sample_hooks.no_such_hook", "sample_hooks has no attribute no_such_hook"),
        ("sample_hooks.constant", "sample_hooks.constant is not a plain function that takes an event and a hint"),
        ("sample_hooks.coroutine", "sample_hooks.coroutine is not a plain function that takes an event and a hint"),
        (".hook", "'.hook' is not a dotted path such as"),
        ("..hook", "cannot be imported"),
    ],
)
def test_a_bad_path_is_an_error_of_the_setting(path: str, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        MonitoringSettings(sentry_before_send=path)
    (error,) = raised.value.errors(include_url=False)
    assert error["loc"] == ("sentry_before_send",)
    assert message in error["msg"]
