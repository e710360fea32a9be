"""`registryctl webhooks`: addresses are added, listed with how their deliveries go, and removed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from contracts.command_line import OK, REFUSED, UNREACHABLE, USAGE
from contracts.webhooks import MAX_WEBHOOKS, SIGNATURE_HEADER, WebhookEvent, sign
from localservers.waiting import wait_until
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from registryctl import cli
from running_registry import RunningRegistry
from testkit.threaded_server import SilentHandler, ThreadedServer

TOKEN = "the-registry-token"
Ctl = Callable[..., tuple[int, str]]


class Receiver(ThreadedServer):
    """Keeps what is posted with its signature, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.status = 500
        self.posts: list[tuple[bytes, str]] = []


class _Handler(SilentHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.posts.append((self.read_body(), self.headers[SIGNATURE_HEADER]))
        self.send_body(self.server.status, b"")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def registry(tmp_path: Path, sandbox: Sandbox) -> Iterator[RunningRegistry]:
    settings = Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr(TOKEN),
        registry_ci_token=SecretStr("of-ci"),
        webhook_allow_http=True,
        webhook_allow_private=True,
    )
    with RunningRegistry(settings, sandbox) as running:
        yield running


@pytest.fixture
def ctl(registry: RunningRegistry, capsys: pytest.CaptureFixture[str]) -> Ctl:
    def run(*arguments: str, token: str = TOKEN, url: str | None = None) -> tuple[int, str]:
        code = cli.main(["--url", url or registry.url, "--token", token, "webhooks", *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_an_address_is_added_listed_and_removed_with_reasons(
    ctl: Ctl, registry: RunningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ctl("list") == (OK, "there are no webhooks\n")
    code, said = ctl("add", "https://ci.example/hook", "--event", "version.pushed", "--reason", "CI")
    first, secret = said.splitlines()
    assert (code, first) == (
        OK,
        "webhook 1 to https://ci.example/hook: keep the key of its signatures now, it is not shown again",
    )
    monkeypatch.setenv("WEBHOOK_SECRET", "a-key-of-our-own-0123")
    assert ctl("add", "https://cd.example/hook")[1].splitlines()[-1] == "a-key-of-our-own-0123"
    listed = ctl("list")[1]
    assert listed.splitlines() == [
        "  1  https://ci.example/hook  version.pushed  delivered never, 0 wait",
        f"  2  https://cd.example/hook  {', '.join(WebhookEvent)}  delivered never, 0 wait",
    ]
    assert secret not in listed + ctl("list", "--json")[1]
    assert ctl("remove", "1", "--reason", "moved") == (OK, "webhook 1 is removed\n")
    assert [each["id"] for each in json.loads(ctl("list", "--json")[1])["webhooks"]] == [2]
    reasons = {entry["target"]: entry["reason"] for entry in registry.http.get("/audit").json()["entries"]}
    assert (reasons["/webhooks/1"], "CI" in reasons.values()) == ("moved", True)


def test_the_list_shows_what_waits_and_why_and_when_it_has_arrived(
    ctl: Ctl, registry: RunningRegistry, receiver: Receiver, tmp_path: Path
) -> None:
    secret = ctl("add", receiver.url, "--event", "version.pushed")[1].splitlines()[-1]
    registry.push_new(tmp_path, seed=1)
    wait_until(lambda: "failures: HTTP 500" in ctl("list")[1], within=120, what="the delivery has failed")
    assert "delivered never, 1 wait, " in ctl("list")[1]
    receiver.status = 204
    wait_until(lambda: ", 0 wait\n" in ctl("list")[1], within=120, what="the delivery has arrived")
    assert "delivered 20" in ctl("list")[1]
    assert len({body for body, _ in receiver.posts}) == 1
    body, signature = receiver.posts[-1]
    assert signature == sign(secret, body, int(signature.partition(",")[0].removeprefix("t=")))


def test_errors_have_the_documented_codes_and_show_no_secret(ctl: Ctl, receiver: Receiver) -> None:
    assert ctl("add", "ftp://ci.example") == (REFUSED, "registryctl: 422: url: write https://host/path, in ASCII\n")
    assert ctl("add", "https://ci.example", token="of-ci")[0] == USAGE
    for number in ("0", "x", "-1"):
        with pytest.raises(SystemExit, match="2"):
            ctl("remove", number)
    code, said = ctl("remove", "7")
    assert (code, "there is no webhook 7" in said) == (USAGE, True)
    with pytest.raises(SystemExit, match="2"):
        ctl("add", "https://ci.example", "--event", "version.gone")
    for _ in range(MAX_WEBHOOKS):
        assert ctl("add", "https://ci.example")[0] == OK
    code, said = ctl("add", "https://ci.example")
    assert (code, "remove one first" in said) == (REFUSED, True)
    code, said = ctl("list", url=receiver.url)
    assert (code, TOKEN in said) == (UNREACHABLE, False)
