import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.command_line import OK, REFUSED, UNREACHABLE, USAGE
from contracts.person_names import MAX_LENGTH
from localservers.ports import Ports
from localservers.waiting import wait_until
from ranking.testing import tiny_archive
from registryctl import cli
from running_registry import RunningRegistry
from testkit.command_runs import assert_civil, run_module
from testkit.odd_answers import OddServer

TOKEN = "the-registry-token"
HISTORY = {
    "deployments": [
        {
            "deployment_id": "1",
            "mode": "primary",
            "version": "3",
            "state": "active",
            "previous_version": None,
            "rollout": 1.0,
            "failed_stage": None,
            "detail": None,
            "reason": "nightly",
            "deployed_by": "张伟",
            "created_at": "2026-11-24T03:10:00+00:00",
        }
    ],
    "replicas": [],
}


@pytest.fixture
def odd() -> Iterator[OddServer]:
    with OddServer() as server:
        yield server


def _registryctl(*arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    ran = run_module("registryctl.cli", arguments, {"REGISTRY_TOKEN": TOKEN, **environment})
    assert_civil(ran, environment.get("REGISTRY_TOKEN", TOKEN).strip())
    return ran


def _run(registry: RunningRegistry, *arguments: str, token: str = TOKEN) -> int:
    return cli.main(["--url", registry.url, "--token", token, *arguments])


def test_a_pipeline_pushes_deploys_and_rolls_back(
    registry: RunningRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        archive = tiny_archive(tmp_path / f"{seed}.tar.gz", seed=seed)
        assert _run(registry, "push", str(archive), "--deploy", "--reason", "nightly") == OK
    assert _run(registry, "rollback") == OK
    assert _run(registry, "status") == OK
    assert "ranker is rolled back to 1 (was 2)" in capsys.readouterr().out
    assert registry.active() == "1"


def test_retention_lists_first_and_removes_only_with_apply(
    registry: RunningRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(1, 17):
        registry.push_new(tmp_path, seed=seed)
    assert _run(registry, "retention") == OK
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("2 of 16 versions of ranker (")
    assert shown[0].endswith("would be removed; `--apply` removes them")
    assert [line.split()[:2] for line in shown[1:4]] == [["remove", "2"], ["remove", "1"], ["keep", "16"]]
    assert registry.stored("1").is_file()
    assert _run(registry, "retention", "--apply", "--json") == OK
    report = json.loads(capsys.readouterr().out)
    assert ([each["version"] for each in report["removed"]], report["dry_run"]) == (["2", "1"], False)
    assert not registry.stored("1").exists()
    assert _run(registry, "retention", "--apply", token="wrong") == USAGE


def test_exit_codes_distinguish_a_rejection_a_wrong_call_and_an_outage(
    registry: RunningRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tiny_archive(tmp_path / "good.tar.gz", seed=1, ndcg=0.3)
    worse = tiny_archive(tmp_path / "worse.tar.gz", seed=2, ndcg=0.1)
    assert _run(registry, "push", str(good), "--deploy") == OK
    assert _run(registry, "push", str(worse), "--deploy") == REFUSED
    assert "gate" in capsys.readouterr().err
    assert _run(registry, "push", str(tmp_path / "absent.tar.gz")) == USAGE
    assert _run(registry, "deploy", "1", token="wrong") == USAGE
    assert _run(registry, "deploy", "1", token="") == USAGE
    assert _run(registry, "status", token="") == OK
    assert cli.main(["--url", f"http://127.0.0.1:{Ports.free().api}", "status"]) == UNREACHABLE


def test_a_name_of_any_script_is_kept_and_shown(registry: RunningRegistry, tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "1.tar.gz", seed=1)
    ran = _registryctl("--url", registry.url, "--by", "张伟", "push", str(archive), "--deploy")
    assert ran.returncode == OK, ran.stderr
    status = _registryctl("--url", registry.url, "status", PYTHONIOENCODING="utf-8")
    assert "张伟" in status.stdout.decode()
    printed = _registryctl("--url", registry.url, "--json", "status", LANG="C", PYTHONIOENCODING="ascii")
    assert json.loads(printed.stdout)["deployments"][0]["deployed_by"] == "张伟"


@pytest.mark.parametrize("name", ["张\n伟", "\x1b[31m", "  ", "x" * (MAX_LENGTH + 1), b"\xd5\xc5\xce\xb0"])
def test_a_name_that_cannot_be_stored_is_a_wrong_call(name: str | bytes) -> None:
    ran = _registryctl("--by", name, "status")
    assert ran.returncode == USAGE
    assert ran.stderr.startswith(b"registryctl: --by: a name ")


def test_an_ascii_terminal_gets_escapes(odd: OddServer) -> None:
    odd.will_answer(json.dumps(HISTORY).encode())
    status = _registryctl("status", REGISTRY_URL=odd.url, LANG="C", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert status.returncode == OK
    assert b"\\u5f20\\u4f1f" in status.stdout


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REGISTRY_TOKEN", "密钥"),
        ("REGISTRY_TOKEN", "secret-of-ours\n"),
        ("REGISTRY_TOKEN", "secret of ours"),
        ("REGISTRY_URL", "http://127.0.0.1:8001\n"),
        ("REGISTRY_URL", "127.0.0.1:8001"),
        ("REGISTRY_URL", "http://127.0.0.1:port"),
        ("REGISTRY_URL", "http://a..b"),
        ("REGISTRY_URL", "http://bücher.example"),
        ("REGISTRY_URL", "http://xn--0.pt-"),
        ("REGISTRY_URL", "http://me:secret-of-ours@127.0.0.1:8001"),
        ("MODEL_NAME", "../active?"),
        ("HTTP_PROXY", "http://[::1"),
    ],
)
def test_an_unusable_setting_is_a_wrong_call_that_names_it_and_not_its_value(variable: str, value: str) -> None:
    ran = _registryctl("status", **{variable: value})
    assert ran.returncode == USAGE, ran.stderr
    assert variable in ran.stderr.decode()
    assert "secret-of-ours" not in ran.stderr.decode()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html>Please log in</html>", "text/html"),
        (b'{"deployments": [', "application/json"),
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b"{}", "application/json"),
        (b'{"deployments": {}, "replicas": []}', "application/json"),
        (b'{"deployments": [1], "replicas": []}', "application/json"),
        (b'{"deployments": [], "replicas": [], "more": NaN}', "application/json"),
        (b'{"deployments": [], "replicas": [], "more": 1e999}', "application/json"),
        (b'{"more": ' + b"9" * 5000 + b"}", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\xff\xfe\x00", "text/plain; charset=klingon"),
    ],
)
@pytest.mark.parametrize("command", [["status"], ["deploy", "1"], ["rollback"]], ids=lambda command: command[0])
def test_an_answer_that_is_not_the_registrys_is_an_outage_and_named(
    odd: OddServer, command: list[str], body: bytes, content_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    odd.will_answer(body, content_type)
    assert cli.main(["--url", odd.url, *command]) == UNREACHABLE
    message = capsys.readouterr().err
    assert message.startswith(f"registryctl: {odd.url}/models/ranker/")
    assert content_type in message


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (302, USAGE),
        (401, USAGE),
        (403, USAGE),
        (404, USAGE),
        (422, REFUSED),
        (502, UNREACHABLE),
    ],
)
def test_a_proxys_page_gives_the_code_of_its_status_and_shows_no_token(odd: OddServer, status: int, code: int) -> None:
    odd.will_answer(f"\x1b[2J You sent: Bearer {TOKEN}".encode(), "text/html", status=status, Location="/login")
    ran = _registryctl("status", REGISTRY_URL=odd.url)
    assert ran.returncode == code
    assert str(status) in ran.stderr.decode()
    assert b"\x1b" not in ran.stderr
    assert ("/login" in ran.stderr.decode()) == (status == 302)


def test_an_answer_that_breaks_off_is_an_outage(odd: OddServer) -> None:
    odd.will_answer(b'{"deployments": [')
    odd.missing = 100
    assert _registryctl("status", REGISTRY_URL=odd.url).returncode == UNREACHABLE
    odd.missing = 0
    odd.will_answer(b"not gzip", Content_Encoding="gzip")
    assert _registryctl("status", REGISTRY_URL=odd.url).returncode == UNREACHABLE


@pytest.mark.parametrize(
    "arguments",
    [
        ["deploy", "1", "--rollout", "nan"],
        ["deploy", "1", "--rollout", "2"],
        ["deploy", "One"],
        ["deploy", "1", "--force"],
        ["deploy", "1", "--force", "--reason", " "],
        ["deploy", "1", "--mode", "canary"],
        ["deploy", "1", "--rollout", "0.5"],
        ["deploy", "1", "--wait", "soon"],
        ["deploy", "1", "--reason", "a\nb"],
        ["deploy", "1", "--reason", b"\xff"],
        ["push", "."],
        ["push", "x" * 5000],
        ["push", b"\xff"],
        ["frobnicate"],
        [],
    ],
)
def test_a_wrong_call_ends_with_2(arguments: list[str | bytes]) -> None:
    assert _registryctl(*arguments).returncode == USAGE


def test_a_reader_that_goes_away_is_no_error(odd: OddServer) -> None:
    odd.will_answer(json.dumps(HISTORY | {"deployments": HISTORY["deployments"] * 2000}).encode())
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [sys.executable, "-m", "registryctl.cli", "--url", odd.url, "status"],
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(write)
    assert (ran.returncode, ran.stderr) == (OK, b"")


def test_an_output_that_cannot_be_written_is_reported(odd: OddServer) -> None:
    odd.will_answer(json.dumps(HISTORY).encode())
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "registryctl.cli", "--url", odd.url, "status"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (70, b"registryctl: the output can't be written: No space left on device\n")


def test_an_interrupt_ends_with_130(odd: OddServer) -> None:
    odd.missing = 1
    odd.held = True
    with subprocess.Popen(
        # A shell that runs the tests in the background ignores the signal, and its children would too.
        ["env", "--default-signal=INT", sys.executable, "-m", "registryctl.cli", "--url", odd.url, "status"],
        stderr=subprocess.PIPE,
    ) as running:
        try:
            wait_until(lambda: odd.requests, within=60, every=0.02, what="a request")
            running.send_signal(signal.SIGINT)
            _, message = running.communicate(timeout=30)
        finally:
            running.kill()
    assert (running.returncode, message) == (130, b"registryctl: interrupted\n")


# No NUL: neither an argument nor a variable can hold one.
_ANYTHING = st.binary(max_size=40).map(lambda value: value.replace(b"\0", b"")) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40
).map(str.encode)
_OPTIONS = st.sampled_from([b"--url", b"--token", b"--model", b"--by", b"--json"])
_COMMANDS = st.sampled_from([b"status", b"rollback", b"deploy", b"push"])


@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    secret=st.tuples(st.just(b"s3cr3t-of-0urs"), _ANYTHING).map(b"".join),
    options=st.lists(st.tuples(_OPTIONS, _ANYTHING), max_size=2),
    command=_COMMANDS,
    words=st.lists(_ANYTHING | st.sampled_from([b"--reason", b"--rollout", b"--mode", b"1"]), max_size=3),
    url=st.none() | st.tuples(st.sampled_from([b"http://127.0.0.1:1", b"http://"]), _ANYTHING).map(b"".join),
)
def test_any_arguments_end_with_a_documented_code_and_print_no_token(
    secret: bytes, options: list[tuple[bytes, bytes]], command: bytes, words: list[bytes], url: bytes | None
) -> None:
    environment = {b"REGISTRY_TOKEN": secret, b"REGISTRY_URL": b"http://127.0.0.1:1" if url is None else url}
    arguments = [part for option in options for part in (option if option[0] != b"--json" else option[:1])]
    ran = run_module("registryctl.cli", [*arguments, command, *words], environment)
    assert_civil(ran, "s3cr3t-of-0urs")


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    body=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["deployments", "replicas", "detail", "version", "mode", "previous_version"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    status=st.sampled_from([200, 201, 204, 302, 401, 409, 418, 500]),
)
def test_any_answer_ends_with_a_documented_code(body: bytes, status: int, odd_server: OddServer) -> None:
    odd_server.will_answer(b"" if status == 204 else body, status=status)
    for command in (["status"], ["--json", "rollback"]):
        assert cli.main(["--url", odd_server.url, *command]) in (0, 1, 2, 3)


@pytest.fixture(scope="module")
def odd_server() -> Iterator[OddServer]:
    with OddServer() as server:
        yield server
