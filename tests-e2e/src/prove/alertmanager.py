"""Hundreds of webhooks of a real Alertmanager, through restarts and losses: every episode is notified once."""

import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr

from bench.results import Goal, Result
from localservers.ports import Ports
from localservers.waiting import wait_until
from prove.alert_stories import INHIBITOR, NODE, Story, stories
from prove.webhook_recorder import Treatment, WebhookRecorder
from testkit.alert_episodes import BEGINNINGS, Message, Verdict, expect, judge
from testkit.alertmanager import AlertmanagerServer
from testkit.processes import ServerProcess
from testkit.recorded_webhooks import RecordedWebhook, write_webhooks
from wechat_simulator.server import SimulatorServer
from wechat_simulator.settings import Settings as SimulatorSettings

RECORD = Path(".run/alertmanager-webhooks.jsonl.gz")
_SECONDS = 330.0
_TICK_SECONDS = 0.5
# After this everything that is waiting is sent: ends after 30 s, and late messages one by one.
_SETTLE_SECONDS = 240
_START_SECONDS = 60
_WEBHOOKS = 500
_TOKEN = "token-of-the-proof"
_SIMULATED = SimulatorSettings(weixin_corp_secret=SecretStr("the-corp-secret"))
_POLICY = """
defaults: {error: P1, warning: P2, info: none}
rules:
  - name: Alertmanager
    priority: P1
    conditions: [{fingerprint: [alertmanager, "**"]}]
    actions: [{alert: immediate, channel: weixin}]
"""
# When webhooks between Alertmanager and the gateway get lost.
_LOSSES: tuple[tuple[float, float, Treatment], ...] = (
    (40, 54, "refuse"),
    (70, 79, "cut before"),
    (95, 106, "cut after"),
)
# Meanwhile each webhook may be lost in any way.
_MIXED = (220, 260)
_MIXED_SHARE = 0.3
_GATEWAY_KILLS = (120.0, 130.0, 190.0, 245.0, 300.0)
# Stopped with its storage; killed without storage; killed with the storage of the previous stop.
_ALERTMANAGER_RESTARTS = (150.0, 210.0, 280.0)
# Prometheus posts nothing, and its queue is lost: all firing alerts end, and then fire again as before.
_SILENT = (165.0, 181.0)


def prove(folder: Path, seed: int) -> list[Result]:
    """Post the stories, inject the faults, and compare the messages with the accepted webhooks."""
    posted = stories(seed, _SECONDS, _ALERTMANAGER_RESTARTS)
    clock = _Clock()
    with ExitStack() as stack:
        simulator = stack.enter_context(SimulatorServer.on_free_port(_SIMULATED))
        gateway = stack.enter_context(_Gateway(folder, simulator.url))
        recorder = stack.enter_context(WebhookRecorder(gateway.url, _treatments(random.Random(seed), clock)))
        server = stack.enter_context(AlertmanagerServer(folder, _configuration(recorder.url)))
        clock.start()
        _play(posted, clock, server, _faults(gateway, server))
        wait_until(gateway.is_quiet, within=_SETTLE_SECONDS, every=1, what="all messages are sent")
        webhooks = sorted(recorder.webhooks, key=lambda each: each.received)
        RECORD.parent.mkdir(exist_ok=True)
        write_webhooks(webhooks, RECORD)
        by_hand = gateway.close_those_without_end()
        incidents = gateway.incidents()
        arrived = httpx.get(f"{simulator.url}/_control/messages", timeout=10).json()["messages"]
    verdict = judge(webhooks, messages_of(incidents))
    return [
        *_webhook_results(webhooks, recorder.unanswered, posted),
        *_notification_results(webhooks, verdict, [message["content"] for message in arrived]),
        *_end_results(webhooks, incidents, by_hand),
    ]


def messages_of(incidents: Sequence[dict[str, Any]]) -> list[Message]:
    """Return the messages about incidents, as `GET /alerts` lists them."""
    return [
        Message(
            incident["fingerprint"][-1],
            each["kind"],
            datetime.fromisoformat(each["created_at"]),
            datetime.fromisoformat(each["sent_at"]),
        )
        for incident in incidents
        for each in incident["notifications"]
        if each["state"] == "sent" and each["kind"] in (*BEGINNINGS, "resolved")
    ]


def _webhook_results(webhooks: Sequence[RecordedWebhook], unanswered: int, posted: Sequence[Story]) -> list[Result]:
    outcomes = [each.outcome for each in webhooks]
    return [
        Result("alertmanager: posted episodes", sum(len(each.episodes) for each in posted), ""),
        Result("webhooks", len(webhooks), ""),
        Result("webhooks accepted by the gateway", outcomes.count("accepted"), "", Goal(least=_WEBHOOKS)),
        Result("accepted webhooks whose answer was lost", unanswered, "", Goal(least=1)),
        Result("webhooks lost before the gateway", outcomes.count("withheld"), "", Goal(least=1)),
        Result("webhooks in flight when the gateway was killed", outcomes.count("unknown"), ""),
    ]


def _notification_results(
    webhooks: Sequence[RecordedWebhook], verdict: Verdict, arrived: Sequence[str]
) -> list[Result]:
    expected = expect(webhooks)
    for each in (*verdict.not_notified, *verdict.ends_not_notified, *verdict.unfounded):
        sys.stderr.write(f"{each}\n")
    again = len(arrived) - len(set(arrived))
    return [
        Result("episodes that reached the gateway", len(expected.episodes), ""),
        Result("episodes notified by their own message", verdict.notified, "", Goal(least=1)),
        Result("episodes in a message that was still unsent", verdict.with_pending, ""),
        Result("episodes not notified", len(verdict.not_notified), "", Goal(most=0)),
        Result("webhooks overtaken by the alert's next one", expected.overtaken, ""),
        Result("reminders of Alertmanager", expected.reminders, "", Goal(least=1)),
        Result("lasting ends", sum(not each.contradicted for each in expected.ends), ""),
        Result("ends notified", verdict.ends_notified, "", Goal(least=1)),
        Result("ends not notified", len(verdict.ends_not_notified), "", Goal(most=0)),
        Result("ends followed by the same alert within 30 s", sum(each.contradicted for each in expected.ends), ""),
        Result("messages without an episode or end, or repeated", len(verdict.unfounded), "", Goal(most=0)),
        Result("messages in WeChat", len(arrived), "", Goal(least=1)),
        Result("messages sent twice, after a kill", again, "", Goal(most=len(_GATEWAY_KILLS))),
    ]


def _end_results(
    webhooks: Sequence[RecordedWebhook], incidents: Sequence[dict[str, Any]], by_hand: int
) -> list[Result]:
    expected = expect(webhooks)
    newest: dict[str, int] = {}
    for incident in incidents:
        fingerprint = incident["fingerprint"][-1]
        newest[fingerprint] = max(newest.get(fingerprint, 0), incident["id"])
    # Only incidents whose end was never reported are closed by hand.
    by_hand_rightly = {newest[fingerprint] for fingerprint in expected.still_firing}
    wrong = [
        each
        for each in incidents
        if each["resolution"] != ("closed" if each["id"] in by_hand_rightly else "recovered")
        and each["fingerprint"][-1] not in expected.unsure
    ]
    for each in wrong:
        sys.stderr.write(f"ended as {each['resolution']}: {each['id']} {each['fingerprint']}\n")
    return [
        Result("incidents", len(incidents), ""),
        Result("incidents closed by hand, without a reported end", by_hand, "", Goal(least=1)),
        Result("incidents with a wrong end", len(wrong), "", Goal(most=0)),
    ]


@dataclass
class _Clock:
    """Seconds since the proof began."""

    began: float = 0.0

    def start(self) -> None:
        """Begin now."""
        self.began = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self.began


def _play(
    posted: Sequence[Story], clock: _Clock, server: AlertmanagerServer, faults: list[tuple[float, Callable[[], None]]]
) -> None:
    """Post what is due; posts that Alertmanager doesn't accept are repeated, as in Prometheus."""
    start, since = datetime.now(UTC), 0.0
    left: list[dict[str, Any]] = []
    under_way: list[Future[None]] = []
    # One by one, and in parallel with the posts.
    with ThreadPoolExecutor(1) as pool:
        while since < _SECONDS + 2 * _TICK_SECONDS:
            time.sleep(_TICK_SECONDS)
            now = clock()
            while faults and faults[0][0] <= now:
                under_way.append(pool.submit(faults.pop(0)[1]))
            posts = [*left, *(post for each in posted if (post := each.posts(since, now, start)) is not None)]
            since = now
            if _SILENT[0] <= now < _SILENT[1]:
                left = []
            elif posts and not server.post(posts):
                ends = start.timestamp() + now
                left = [each for each in posts if datetime.fromisoformat(each["endsAt"]).timestamp() <= ends]
            else:
                left = []
        for each in under_way:
            each.result()


def _faults(gateway: "_Gateway", server: AlertmanagerServer) -> list[tuple[float, Callable[[], None]]]:
    def restart(number: signal.Signals, *, forgets: bool = False) -> Callable[[], None]:
        def do() -> None:
            server.stop(number)
            if forgets:
                server.wipe()
            server.start()

        return do

    first, second, third = _ALERTMANAGER_RESTARTS
    faults = [
        (first, restart(signal.SIGTERM)),
        (second, restart(signal.SIGKILL, forgets=True)),
        (third, restart(signal.SIGKILL)),
        *((at, gateway.kill_and_restart) for at in _GATEWAY_KILLS),
    ]
    return sorted(faults, key=lambda fault: fault[0])


def _treatments(draw: random.Random, clock: Callable[[], float]) -> Callable[[], Treatment]:
    ways: tuple[Treatment, ...] = ("refuse", "cut before", "cut after")

    def treat() -> Treatment:
        now = clock()
        if _MIXED[0] <= now < _MIXED[1] and draw.random() < _MIXED_SHARE:
            return draw.choice(ways)
        return next((treatment for begins, ends, treatment in _LOSSES if begins <= now < ends), "pass")

    return treat


def _configuration(url: str) -> dict[str, Any]:
    webhook = {
        "url": f"{url}/webhooks/alertmanager",
        "http_config": {"authorization": {"credentials": _TOKEN}},
    }
    return {
        "route": {
            "receiver": "gateway",
            "group_by": ["alertname", NODE],
            "group_wait": "1s",
            "group_interval": "2s",
            "repeat_interval": "30s",
        },
        "inhibit_rules": [
            {
                "source_matchers": [f"alertname = {INHIBITOR}"],
                "target_matchers": [f"alertname != {INHIBITOR}"],
                "equal": [NODE],
            }
        ],
        "receivers": [{"name": "gateway", "webhook_configs": [webhook]}],
    }


class _Gateway:
    """A gateway process on one port and one database, across kills."""

    def __init__(self, folder: Path, simulator: str) -> None:
        port = Ports.free().gateway
        policy = folder / "alerts.yaml"
        policy.write_text(_POLICY, encoding="utf-8")
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "ENVIRONMENT": "test",
            "LOG_LEVEL": "WARNING",
            "PORT": str(port),
            "DATABASE_URL": f"sqlite:///{folder}/recsys.db",
            "SPOOL_DIR": str(folder / "spool"),
            "ALERT_POLICY": str(policy),
            "GATEWAY_TOKEN": _TOKEN,
            "ADMIN_TOKEN": _TOKEN,
            "WEIXIN_BASE_URL": simulator,
            "WEIXIN_CORP_ID": _SIMULATED.weixin_corp_id,
            "WEIXIN_CORP_SECRET": _SIMULATED.weixin_corp_secret.get_secret_value(),
            "WEIXIN_AGENT_ID": str(_SIMULATED.weixin_agent_id),
            "WEIXIN_TO_USER": "alice",
        }
        self._http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {_TOKEN}"}, timeout=20)
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            self._process.end()
        self._http.close()

    def kill_and_restart(self) -> None:
        """Kill it, and start it again on its stored data."""
        if self._process is not None:
            self._process.end(signal.SIGKILL)
        self._start()

    def incidents(self) -> list[dict[str, Any]]:
        """Return all incidents with their messages."""
        found: list[dict[str, Any]] = []
        before: dict[str, int] = {}
        while True:
            page = self._http.get("/alerts", params={"limit": 500, **before}).raise_for_status().json()
            found += page["alerts"]
            if page["next_before"] is None:
                return [each for each in found if each["monitoring_point"] == "alertmanager.alert"]
            before = {"before": page["next_before"]}

    def is_quiet(self) -> bool:
        """Return whether no message waits to be sent."""
        return all(each["state"] in ("sent", "failed") for one in self.incidents() for each in one["notifications"])

    def close_those_without_end(self) -> int:
        """Close all open incidents, as a person on call would; return their number."""
        still_open = [each["id"] for each in self.incidents() if each["state"] == "open"]
        for each in still_open:
            self._http.post(f"/alerts/{each}/close", json={"by": "li.wei"}).raise_for_status()
        return len(still_open)

    def _start(self) -> None:
        process = self._process = ServerProcess(
            (sys.executable, "-m", "notification_gateway"),
            self._folder / "gateway.log",
            environment=self._environment,
            cwd=str(self._folder),
        )
        wait_until(lambda: process.check_alive() and self._answers(), within=_START_SECONDS, what="the gateway answers")

    def _answers(self) -> bool:
        try:
            return self._http.get("/health").is_success
        except httpx.TransportError:
            return False
