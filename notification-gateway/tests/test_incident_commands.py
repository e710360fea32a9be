"""`alertctl list`, `show`, `ack`, `close`, `reopen`, `assign`, `comment` and `group` against a running gateway."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from contracts.command_line import OK, REFUSED, UNREACHABLE, USAGE
from notification_gateway.app import create_app
from notification_gateway.cli import main
from running_gateway import ADMIN, POLICY, TOKEN, Watch, settings, signal
from testkit.command_runs import assert_civil, run_module
from testkit.running_app import RunningApp

Alertctl = Callable[..., tuple[int, str]]


@pytest.fixture
def running(sqlite_url: str, watch: Watch) -> Iterator[RunningApp]:
    with RunningApp(create_app(settings(sqlite_url, weixin_robot_key="k"), clock=watch)) as running:
        yield running


@pytest.fixture
def alertctl(running: RunningApp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Alertctl:
    """Run a command as li.wei; returns the exit code and what it printed."""
    monkeypatch.setenv("GATEWAY_URL", running.url)
    monkeypatch.setenv("ADMIN_TOKEN", ADMIN)
    monkeypatch.setenv("USER", "li.wei")

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(list(arguments))
        printed = capsys.readouterr()
        # The gateway runs in this process, and its log lines go to stderr.
        return code, printed.out or printed.err

    return run


def fire(running: RunningApp, *fingerprints: tuple[str, ...], message: str = "m") -> None:
    signals = [signal(each, message=message).model_dump(mode="json") for each in fingerprints or [("model", "failed")]]
    assert running.post("/signals", {"signals": signals}, token=TOKEN).status_code == 202


def test_incidents_are_listed_by_state_and_priority(running: RunningApp, alertctl: Alertctl) -> None:
    assert alertctl("list") == (OK, "no incidents\n")
    fire(running, ("model", "a"), ("model", "b"))
    assert alertctl("close", "1")[0] == OK
    code, text = alertctl("list")
    assert (code, [line.split()[0] for line in text.splitlines()]) == (OK, ["#2", "#1"])
    assert alertctl("list", "--state", "open")[1].startswith("#2  P1  open  model.b  ")
    assert "resolved (closed by li.wei)" in alertctl("list", "--state", "resolved")[1]
    assert alertctl("list", "--priority", "P0")[1] == "no incidents\n"
    assert [each["id"] for each in json.loads(alertctl("list", "--before", "2", "--json")[1])["alerts"]] == [1]


def test_a_list_names_the_next_page(running: RunningApp, alertctl: Alertctl) -> None:
    fire(running, *(("model", str(number)) for number in range(101)))
    lines = alertctl("list")[1].splitlines()
    assert (len(lines), lines[-1]) == (101, "There are older ones: --before 2")
    assert alertctl("list", "--before", "2")[1].startswith("#1 ")


def test_each_action_is_done_by_the_named_person_or_by_user(running: RunningApp, alertctl: Alertctl) -> None:
    fire(running, ("model", "deployment_failed"), ("model", "b"))
    assert alertctl("ack", "1", "--by", "zhang.san", "--comment", "looking") == (
        OK,
        "#1: zhang.san takes care of it since 2026-01-05 12:00:30 UTC\n",
    )
    # The first one counts.
    assert "zhang.san takes care" in alertctl("ack", "1")[1]
    assert "assigned to wang.wu" in alertctl("assign", "1", "wang.wu")[1]
    assert alertctl("comment", "1", "disk was full")[0] == OK
    assert "under #1" in alertctl("group", "2", "1")[1]
    assert "children: #2" in alertctl("show", "1")[1]
    assert "under" not in alertctl("group", "2", "none")[1]
    assert "resolved (false_alarm by li.wei)" in alertctl("close", "1", "--false-alarm")[1]
    assert "  open  " in alertctl("reopen", "1", "--comment", "again")[1]
    shown = json.loads(alertctl("show", "1", "--json")[1])
    done = [(each["kind"], each["actor"], each["detail"]) for each in shown["timeline"]]
    assert done[1:4] == [
        ("commented", "zhang.san", "looking"),
        ("acknowledged", "zhang.san", ""),
        ("assigned", "li.wei", "wang.wu"),
    ]
    assert done[4] == ("commented", "li.wei", "disk was full")
    assert [kind for kind, _, _ in done[5:]] == ["resolved", "commented", "reopened"]
    text = alertctl("show", "1")[1]
    assert "\n  2026-01-05 12:00:30 UTC  commented  li.wei  disk was full\n" in text
    assert "\nnotifications:\n" in text


def test_text_of_others_neither_moves_the_cursor_nor_forges_a_line(running: RunningApp, alertctl: Alertctl) -> None:
    fire(running, message="a\n#9  P0  open\r\N{RIGHT-TO-LEFT OVERRIDE}b")
    assert alertctl("comment", "1", "x\ntimeline:\n  never", "--by", "li.wei")[0] == OK
    for command in (["list"], ["show", "1"]):
        code, text = alertctl(*command)
        assert code == OK
        assert all(each.isprintable() for each in text.replace("\n", ""))
        assert not any(line.startswith("#9") for line in text.splitlines())
        assert text.count("\ntimeline:\n") == (command[0] == "show")
        # JSON stays JSON.
        assert json.loads(alertctl(*command, "--json")[1])


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (["close", "2"], {}, REFUSED),
        (["reopen", "1"], {}, REFUSED),
        (["group", "1", "1"], {}, REFUSED),
        (["comment", "1", ""], {}, REFUSED),
        (["ack", "1", "--by", "x" * 129], {}, REFUSED),
        (["show", "9"], {}, USAGE),
        (["ack", "9"], {}, USAGE),
        (["group", "1", "9"], {}, USAGE),
        (["show", "0"], {}, USAGE),
        (["show", "1.0"], {}, USAGE),
        (["show", "9" * 30], {}, USAGE),
        (["group", "1", "soon"], {}, USAGE),
        (["comment", "1", "\udcff"], {}, USAGE),
        (["comment", "1", "\x1b[2J"], {}, USAGE),
        (["close", "1"], {"USER": ""}, USAGE),
        (["close", "1", "--by", ""], {}, USAGE),
        (["close", "1"], {"ADMIN_TOKEN": "another-token"}, USAGE),
        (["close", "1"], {"ADMIN_TOKEN": "密钥"}, USAGE),
        (["list"], {"GATEWAY_URL": "not an address"}, USAGE),
        (["list"], {"GATEWAY_URL": "http://127.0.0.1:9"}, UNREACHABLE),
        (["close", "1"], {"GATEWAY_URL": "http://127.0.0.1:9"}, UNREACHABLE),
    ],
)
def test_an_impossible_action_is_one_line_with_its_exit_code(
    running: RunningApp,
    alertctl: Alertctl,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    code: int,
) -> None:
    fire(running, ("model", "a"), ("model", "b"))
    assert alertctl("close", "2")[0] == OK
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ended, text = alertctl(*arguments)
    assert ended == code
    assert text.startswith("alertctl: ")
    assert text.count("\n") == 1
    assert "another-token" not in text
    assert running.ask("/alerts/1")["state"] == "open"


@pytest.mark.parametrize("words", [[b"comment", b"1", b"\xff"], [b"ack", b"1", b"--by", b"\xff"], [b"show", b"\xff"]])
def test_any_arguments_end_with_a_documented_exit_code(words: list[bytes]) -> None:
    assert_civil(run_module("notification_gateway.cli", words))


class _LoginPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so in the base class
        """Silence."""


@pytest.mark.parametrize(
    "command",
    [["list"], ["show", "1"], ["ack", "1"], ["ping", "weixin"], ["replay", str(POLICY), "--policy", str(POLICY)]],
)
def test_an_address_where_another_program_answers_is_not_the_gateway(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _LoginPage)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("GATEWAY_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("ADMIN_TOKEN", ADMIN)
    monkeypatch.setenv("USER", "li.wei")
    try:
        assert main(command) == UNREACHABLE
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    complaint = capsys.readouterr().err
    assert "answered 404 with text/html" in complaint
    assert complaint.count("\n") == 1
