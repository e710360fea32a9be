"""`featurectl` against a real feature-sync, and against what answers in its place."""

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from redis import Redis

from contracts import redis_keys
from contracts.command_line import OK, REFUSED, UNREACHABLE, USAGE
from contracts.events import BehaviorEvent
from contracts.snapshot import write_snapshot
from contracts.user_blob import History, UserBlob
from feature_sync.featurectl.main import main
from localservers.ports import Ports
from localservers.waiting import wait_until
from testkit.command_runs import assert_civil, run_module
from testkit.odd_answers import OddServer

TOKEN = "the-token"
BLOB = UserBlob(np.ones(3, np.float32), History()).pack()


@pytest.fixture
def odd() -> Iterator[OddServer]:
    with OddServer() as server:
        yield server


def _featurectl(url: str, *arguments: str | bytes) -> tuple[int, str, str]:
    environment = {"ADMIN_TOKEN": TOKEN, "FEATURE_SYNC_URL": url}
    ran = run_module("feature_sync.featurectl.main", arguments, environment)
    assert_civil(ran, TOKEN)
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


def test_a_user_is_shown_exported_and_forgotten(
    worker: httpx.Client, plain: Redis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        assert main(["--url", str(worker.base_url), "--token", TOKEN, *arguments]) == OK
        return capsys.readouterr().out

    write_snapshot(tmp_path / "s", "v1", datetime.now(UTC), [(7, BLOB)])
    assert run("sync", str(tmp_path / "s")).startswith("v1 is active: 1 users")
    event = BehaviorEvent(event_id="e", type="purchase", user_id=7, dataset_id=13196, ts=datetime.now(UTC))
    plain.xadd(redis_keys.EVENT_STREAM, {"event": event.to_stream()["event"]})
    wait_until(lambda: plain.get(redis_keys.live_history(7)), within=60, what="it is live")
    wait_until(lambda: worker.get("/health").json()["status"] == "healthy", within=60, what="it is healthy")

    assert "redis            healthy   snapshot v1." in run("status")
    shown = run("show", "7")
    assert "  purchase  13196  " in shown
    assert "(active): 3 features" in shown
    assert json.loads(run("show", "7", "--json"))["live"]["sequence"] == 1
    wait_until(lambda: json.loads(run("export", "7"))["events"], within=60, what="it is logged")
    assert run("export", "7", "--output", str(tmp_path / "7.json")) == ""
    assert json.loads((tmp_path / "7.json").read_bytes())["state"]["user_id"] == 7
    assert stat.S_IMODE((tmp_path / "7.json").stat().st_mode) == 0o600
    text = run("forget", "7")
    assert "user 7 is forgotten" in text
    assert "  removed 1 events" in text
    assert "business_database" in text
    assert json.loads(run("--json", "forget", "a/b"))["external_id"] == "a/b"
    assert "no live history" in run("show", "7")


def test_a_failed_sync_and_a_wrong_token_have_codes_of_their_own(worker: httpx.Client) -> None:
    url = str(worker.base_url)
    code, _, error = _featurectl(url, "sync", "/nowhere")
    assert (code, "there is no such folder" in error) == (REFUSED, True)
    assert main(["--url", url, "--token", "wrong", "forget", "7"]) == USAGE


@pytest.mark.parametrize(
    "arguments",
    [["show", "0"], ["forget", "1.0"], ["export", b"\xff"], ["sync", b"\xff"], ["--url", "ftp://a", "status"], []],
)
def test_a_wrong_call_ends_with_2(arguments: list[str | bytes]) -> None:
    assert _featurectl("http://127.0.0.1:1", *arguments)[0] == USAGE


@pytest.mark.parametrize("command", [["status"], ["show", "7"], ["export", "7"]], ids=lambda command: command[0])
def test_what_is_not_feature_sync_is_an_outage(
    odd: OddServer, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for status in (200, 502):
        odd.will_answer(f"You sent: Bearer {TOKEN}".encode(), "text/html", status=status)
        assert main(["--url", odd.url, "--token", TOKEN, *command]) == UNREACHABLE
    assert main(["--url", f"http://127.0.0.1:{Ports.free().sync}", *command]) == UNREACHABLE
    assert TOKEN not in capsys.readouterr().err


def test_an_export_that_breaks_off_leaves_no_file(odd: OddServer, tmp_path: Path) -> None:
    odd.will_answer(b'{"state": ')
    odd.missing = 100
    assert main(["--url", odd.url, "export", "7", "--output", str(tmp_path / "7.json")]) == UNREACHABLE
    assert list(tmp_path.iterdir()) == []
