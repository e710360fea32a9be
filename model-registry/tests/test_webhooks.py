"""Webhooks: what happens is posted, signed, at least once, and only to where it may go."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

import model_registry
from contracts.webhooks import SIGNATURE_HEADER, NewWebhook, WebhookEvent, sign
from localservers.waiting import wait_until
from model_registry.database import Database
from model_registry.metrics import Metrics
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from model_registry.tables import SCHEMA
from model_registry.webhooks.outbox import Outbox
from model_registry.webhooks.sender import LEASE, MAX_AGE, WebhookSender, poster
from model_registry.webhooks.service import Webhooks
from running_registry import RunningRegistry
from servicekit.database import migrate, open_database
from testkit.threaded_server import SilentHandler, ThreadedServer

TOKEN = "the-registry-token"
_ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Receiver(ThreadedServer):
    """Keeps what is posted, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.status = 204
        self.location = ""
        self.posts: list[tuple[str, dict[str, str], bytes]] = []

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.posts]


class _Handler(SilentHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.posts.append((self.path, dict(self.headers), self.read_body()))
        self.send_body(self.server.status, b"", {"Location": self.server.location} if self.server.location else {})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr(TOKEN),
        webhook_allow_http=True,
        webhook_allow_private=True,
    )


@_ON_SQLITE
def test_what_happens_to_a_version_is_posted_with_a_signature(
    settings: Settings, sandbox: Sandbox, receiver: Receiver, tmp_path: Path
) -> None:
    with RunningRegistry(settings, sandbox) as registry:
        made = registry.http.post("/webhooks", json={"url": f"{receiver.url}/hook", "reason": "CI"})
        assert made.status_code == 201, made.text
        only = {"url": f"{receiver.url}/only", "events": ["alias.changed"], "secret": "a-secret-of-our-own"}
        assert registry.http.post("/webhooks", json=only).json()["secret"] == only["secret"]
        good, worse = registry.push_new(tmp_path, seed=1), registry.push_new(tmp_path, seed=2, ndcg=0.1)
        registry.deploy(good).raise_for_status()
        assert registry.deploy(worse).status_code == 409
        registry.deploy(worse, mode="shadow").raise_for_status()
        registry.http.post("/models/ranker/rollback", json={"mode": "shadow"}).raise_for_status()
        registry.http.put("/models/ranker/aliases/champion", json={"version": good}).raise_for_status()
        registry.http.delete("/models/ranker/aliases/champion").raise_for_status()
        wait_until(lambda: len(receiver.posts) == 10, within=60, what="all events are posted")
        listed = registry.http.get("/webhooks").text
        assert registry.http.delete("/webhooks/1").status_code == 204
        assert registry.http.delete("/webhooks/1").status_code == 404
    assert made.json()["secret"] not in listed
    assert only["secret"] not in listed
    posts = [(path, headers, body) for path, headers, body in receiver.posts if path == "/hook"]
    bodies = [json.loads(body) for _, _, body in posts]
    assert [(each["event"], each["data"]["version"]) for each in bodies] == [
        ("version.pushed", good),
        ("version.pushed", worse),
        ("deployment.active", good),
        ("deployment.rejected", worse),
        ("deployment.active", worse),
        ("deployment.rolled_back", worse),
        ("alias.changed", good),
        ("alias.changed", None),
    ]
    assert (bodies[3]["data"]["failed_stage"], bodies[0]["model"]) == ("gate", "ranker")
    assert len({each["delivery_id"] for each in receiver.bodies()}) == 10
    for _, headers, body in posts:
        moment = int(headers[SIGNATURE_HEADER].partition(",")[0].removeprefix("t="))
        assert headers[SIGNATURE_HEADER] == sign(made.json()["secret"], body, moment)


@_ON_SQLITE
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://ci.example/hook", "https is needed"),
        ("ftp://ci.example/hook", "write https://"),
        ("https://user:word@ci.example/hook", "has no user"),
        ("https:///hook", "write https://"),
        ("https://xn--a/", "url: "),
        ("https://[v1.a]/", "url: "),
        ("https://[::1]x/", "url: "),
    ],
)
def test_an_address_that_may_not_be_used_is_rejected(registry: RunningRegistry, url: str, says: str) -> None:
    refused = registry.http.post("/webhooks", json={"url": url})
    assert (refused.status_code, says in refused.json()["detail"]) == (422, True)


def post_to(url: str, *, allows_private: bool) -> int:
    async def once() -> int:
        post, close = poster(allows_private=allows_private)
        try:
            return await post(url, b"{}", {})
        finally:
            await close()

    return asyncio.run(once())


def test_private_addresses_are_called_only_if_a_setting_allows_it_and_no_redirect_is_followed(
    receiver: Receiver,
) -> None:
    for forbidden in (receiver.url, f"http://localhost:{receiver.server_port}", "http://10.1.2.3", "http://[::1]:9"):
        with pytest.raises(httpx.ConnectError, match="loopback, private or reserved"):
            post_to(forbidden, allows_private=False)
    with pytest.raises(httpx.ConnectError, match="link-local"):
        post_to("http://169.254.169.254/latest", allows_private=True)
    receiver.status, receiver.location = 307, f"{receiver.url}/elsewhere"
    assert post_to(f"{receiver.url}/hook", allows_private=True) == 307
    assert [path for path, _, _ in receiver.posts] == ["/hook"]


@dataclass
class Lab:
    """A database with a webhook, an outbox, and senders with a clock of the test."""

    database: Database
    metrics: Metrics
    now: datetime = datetime(2026, 11, 24, tzinfo=UTC)
    status: int = 204
    bodies: list[str] = field(default_factory=list)

    def clock(self) -> datetime:
        return self.now

    async def post(self, _url: str, body: bytes, _headers: dict[str, str]) -> int:
        self.bodies.append(json.loads(body)["data"]["version"])
        return self.status

    def record(self, version: str, *, most: int = 100) -> None:
        with self.database.transaction("test") as connection:
            outbox = Outbox(self.metrics, max_waiting=most, clock=self.clock)
            outbox.record(connection, WebhookEvent.PUSHED, "ranker", version=version)

    def send(self, post: Callable[..., Any] | None = None) -> None:
        """Let a new sender do what it can now."""

        async def run() -> None:
            sender = WebhookSender(self.database, self.metrics, post or self.post, clock=self.clock)
            await sender.step()
            await sender.drain()

        asyncio.run(run())

    def count(self, outcome: str) -> float:
        found = self.metrics.registry.get_sample_value("registry_webhook_deliveries_total", {"outcome": outcome})
        return 0.0 if found is None else found


@pytest.fixture
def lab(database_url: str) -> Iterator[Lab]:
    engine = open_database(database_url, SCHEMA)
    migrate(engine, SCHEMA, Path(str(model_registry.__file__)).parent / "migrations")
    made = Lab(Database(engine), Metrics())
    Webhooks(made.database, allows_http=False, clock=made.clock).add(NewWebhook(url="https://ci.example"), "test")
    yield made
    made.database.close()


def test_a_failed_delivery_is_tried_again_later_and_in_order(lab: Lab) -> None:
    lab.record("1")
    lab.record("2")
    lab.status = 500
    lab.send()
    lab.send()
    assert (lab.bodies, lab.count("failed")) == (["1"], 1)
    lab.status, lab.now = 204, lab.now + timedelta(seconds=2)
    lab.send()
    assert (lab.bodies, lab.count("delivered")) == (["1", "1", "2"], 2)


@_ON_SQLITE
def test_a_delivery_of_a_sender_that_was_killed_is_sent_by_the_next_one(lab: Lab) -> None:
    lab.record("1")

    async def die(*_: object) -> int:
        raise asyncio.CancelledError

    lab.send(die)
    lab.send()
    assert lab.bodies == []
    lab.now += LEASE + timedelta(seconds=1)
    lab.send()
    assert lab.bodies == ["1"]


@_ON_SQLITE
def test_deliveries_past_the_bounds_are_counted(lab: Lab) -> None:
    for version in ("1", "2", "3"):
        lab.record(version, most=2)
    assert lab.count("dropped") == 1
    lab.now += MAX_AGE + timedelta(seconds=1)
    lab.record("4")
    lab.send()
    assert (lab.bodies, lab.count("expired"), lab.count("delivered")) == (["4"], 2, 1)


@_ON_SQLITE
def test_a_sending_that_fails_in_an_unknown_way_is_noted_and_the_others_go_on(lab: Lab) -> None:
    Webhooks(lab.database, allows_http=False, clock=lab.clock).add(NewWebhook(url="https://good.example"), "test")
    lab.record("1")

    async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
        if "ci.example" in url:
            raise RuntimeError("unknown")
        return await lab.post(url, body, headers)

    async def run() -> None:
        sender = WebhookSender(lab.database, lab.metrics, post, clock=lab.clock)
        await sender.step()
        await sender.drain()
        await sender.step()
        await sender.close()

    asyncio.run(run())
    first, second = Webhooks(lab.database, allows_http=False).all_of()
    assert (first.row.last_error, first.waiting, second.row.last_error, second.waiting) == ("RuntimeError", 1, None, 0)


@_ON_SQLITE
def test_a_webhook_that_is_removed_while_it_is_sent_to_takes_no_delivery_of_the_next_one(lab: Lab) -> None:
    webhooks = Webhooks(lab.database, allows_http=False, clock=lab.clock)
    lab.record("1")

    async def replace(*_: object) -> int:
        (old,) = webhooks.all_of()
        webhooks.remove(old.row.id)
        webhooks.add(NewWebhook(url="https://new.example"), "test")
        lab.record("2")
        return 204

    lab.send(replace)
    assert [each.waiting for each in webhooks.all_of()] == [1]
    lab.send()
    assert lab.bodies == ["2"]
