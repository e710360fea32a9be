"""A gateway under test, with a clock that the test moves, a WeChat Work simulator and a real mail server."""

import asyncio
import contextlib
import http.server
import socketserver
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx
from pydantic import SecretStr
from sqlalchemy import Table, select

from contracts.signals import AlertSignal
from notification_gateway.gateway import Gateway
from notification_gateway.own_signals import OwnSignals
from notification_gateway.policy.model import Rule
from notification_gateway.settings import Settings
from wechat_simulator.settings import Settings as SimulatorSettings

POLICY = Path(__file__).parents[2] / "deploy" / "alerts.yaml"
TOKEN = "the-gateway-token"
ADMIN = "the-admin-token"
HOOK_SECRET = "the-hook-secret"
SIMULATED = SimulatorSettings(
    weixin_corp_id="ww-test",
    weixin_corp_secret=SecretStr("the-corp-secret"),
    weixin_agent_id=7,
    weixin_robot_key=SecretStr("the-robot-key"),
)


class Watch:
    """A clock that a test moves."""

    def __init__(self, now: datetime = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **time: float) -> None:
        self.now += timedelta(**time)


def settings(database_url: str, **more: Any) -> Settings:
    """Return settings of a gateway without channels."""
    return Settings(
        database_url=SecretStr(database_url),
        alert_policy=more.pop("alert_policy", POLICY),
        gateway_token=SecretStr(TOKEN),
        admin_token=SecretStr(ADMIN),
        sentry_webhook_secret=SecretStr(HOOK_SECRET),
        collector_url="http://collector.test",
        **more,
    )


def app_of(url: str) -> dict[str, Any]:
    """Return the settings of an application of the simulator at `url`."""
    return {
        "weixin_base_url": url,
        "weixin_corp_id": SIMULATED.weixin_corp_id,
        "weixin_corp_secret": SIMULATED.weixin_corp_secret,
        "weixin_agent_id": SIMULATED.weixin_agent_id,
        "weixin_to_user": "alice",
    }


def robot_of(url: str) -> dict[str, Any]:
    """Return the settings of a robot of the simulator at `url`."""
    return {"weixin_base_url": url, "weixin_robot_key": SIMULATED.weixin_robot_key}


def mail_to(port: int) -> dict[str, Any]:
    """Return the settings of a mail server on loopback."""
    return {"smtp_url": SecretStr(f"smtp://127.0.0.1:{port}"), "alert_email_to": "oncall@example.test"}


class SteppedGateway:
    """A gateway whose loops the test runs step by step."""

    def __init__(self, configured: Settings, watch: Watch) -> None:
        self.watch = watch
        self.gateway = Gateway(configured, OwnSignals(), watch)
        self.gateway.policy_file.load()
        self.gateway.storage.migrate()
        # One loop for all rounds: connections live in it.
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.run(self.gateway.delivery.close())
        self._runner.run(self.gateway.heartbeat.close())
        self._runner.close()
        self.gateway.storage.close()

    def page_for_everything(self, priority: str = "P1") -> None:
        """Let one rule of the given priority send each incident to WeChat Work at once."""
        everything = {
            "name": "Everything",
            "priority": priority,
            "conditions": [{"fingerprint": ["**"]}],
            "actions": [{"alert": "immediate", "channel": "weixin"}],
        }
        held = self.gateway.policy_file
        held.policy = held.policy.model_copy(update={"rules": (Rule.model_validate(everything),)})

    def fire(self, *signals: AlertSignal) -> tuple[int, int]:
        """Send signals; returns how many were accepted and how many were duplicates."""
        receipt = self.gateway.alerts.intake.accept(signals)
        return receipt.accepted, receipt.duplicates

    def pass_time(self, **time: float) -> None:
        """Move the clock and run the chores."""
        self.watch.forward(**time)
        self.gateway.alerts.expiry.resolve()
        self.gateway.alerts.orphans.release()
        self.gateway.alerts.escalation.escalate()
        self.gateway.alerts.reminders.remind()
        self.gateway.alerts.summaries.close_due()

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """Return all rows of a table."""
        with self.gateway.storage.read() as connection:
            return [
                dict(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            ]

    def health(self) -> dict[str, Any]:
        """Return the checks of `/health`."""
        return {name: check.model_dump() for name, check in self.gateway.checks().items()}

    def beat(self) -> None:
        """Run the heartbeat once."""
        self._runner.run(self.gateway.heartbeat.beat())

    def deliver(self) -> int:
        """Deliver the due messages; returns the number of attempts."""

        async def all_channels() -> int:
            counts = [await each.deliver_due() for each in self.gateway.delivery.loops]
            return sum(counts)

        return self._runner.run(all_channels())


class Wechat:
    """The simulator's control API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=f"{url}/_control", timeout=5)

    def close(self) -> None:
        self._http.close()

    def reset(self) -> None:
        self._http.post("/reset").raise_for_status()

    def fault(self, **fault: Any) -> None:
        self._http.post("/faults", json=fault).raise_for_status()

    def clear(self) -> None:
        self._http.delete("/faults").raise_for_status()

    def expire_tokens(self) -> None:
        self._http.post("/expire-tokens").raise_for_status()

    def unknown(self, *users: str) -> None:
        self.members(unknown=users)

    def members(self, **users: Sequence[str]) -> None:
        """Set the members who don't exist (`unknown`) or have no licence (`unlicensed`)."""
        self._http.put("/users", json=users).raise_for_status()

    def trust(self, *addresses: str) -> None:
        """Let only these addresses call."""
        self._http.put("/trusted-addresses", json={"trusted": addresses}).raise_for_status()

    @property
    def contents(self) -> list[str]:
        """The texts of the received messages, oldest first."""
        return [message["content"] for message in self.messages]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self._http.get("/messages").json()["messages"])

    @property
    def mails(self) -> list[dict[str, Any]]:
        """The mails that the simulator caught."""
        return list(self._http.get("/mails").json())

    def calls(self, operation: str) -> list[int | None]:
        """Return the error codes of all calls of an operation."""
        return [call["errcode"] for call in self._http.get("/calls").json() if call["operation"] == operation]


class _InThreads:
    """Serves in threads for the length of a block."""

    def __init__(self, server: socketserver.ThreadingTCPServer | http.server.ThreadingHTTPServer) -> None:
        self._server = server
        self._server.daemon_threads = True
        self.port = int(server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class MailServer(_InThreads):
    """A real SMTP server on loopback; `refusals` maps a verb to the answer that it gets instead of acceptance.

    A verb may be followed by what its line must hold: `RCPT bob@`.
    """

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.refusals: dict[str, str] = {}
        outer = self

        class Session(socketserver.StreamRequestHandler):
            timeout = 5

            def handle(self) -> None:
                self._say("220 ready")
                for line in self.rfile:
                    verb = line.split(b" ")[0].strip().upper().decode()
                    refusal = next((answer for name, answer in outer.refusals.items() if _fits(name, verb, line)), None)
                    if refusal is not None:
                        self._say(refusal)
                    elif verb == "DATA":
                        self._say("354 go on")
                        outer.mails.append(self._data())
                        self._say("250 taken")
                    elif verb == "QUIT":
                        self._say("221 bye")
                        return
                    else:
                        self._say("250 ok")

            def _data(self) -> str:
                lines = iter(self.rfile.readline, b".\r\n")
                return b"".join(lines).decode()

            def _say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        super().__init__(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session))


class Receiver(_InThreads):
    """A real HTTP server on loopback that records its calls; `answer` is the status, headers and body it sends."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, bytes]] = []
        self.hosts: list[str] = []
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
        # Between the bytes of the body.
        self.drip_seconds = 0.0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.calls.append((self.command, self.path, body))
                outer.hosts.append(self.headers["Host"])
                status, headers, content = outer.answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    for byte in content:
                        self.wfile.write(bytes([byte]))
                        time.sleep(outer.drip_seconds)

            do_GET = _respond
            do_POST = _respond

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        super().__init__(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        self.url = f"http://127.0.0.1:{self.port}"


def _fits(name: str, verb: str, line: bytes) -> bool:
    wanted, _, held = name.partition(" ")
    return verb == wanted and held.encode() in line


def signal(
    fingerprint: Sequence[str] = ("model", "deployment_failed"), at: datetime | None = None, **fields: Any
) -> AlertSignal:
    """Return a signal; by default of an error that is a P0 in the default policy."""
    seen = at or datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
    return AlertSignal.model_validate(
        {
            "signal_id": uuid4().hex,
            "kind": "fired",
            "monitoring_point": ".".join(fingerprint[:2]),
            "fingerprint": list(fingerprint),
            "level": "error",
            "category": fingerprint[0],
            "service": "model-registry",
            "environment": "test",
            "message": f"{fingerprint[-1]}: it broke",
            "first_seen": seen,
            "last_seen": seen,
        }
        | fields
    )
