"""A gateway whose channels reject its messages, which gets a malformed alert, and whose tables are dropped."""

import sqlite3
from contextlib import closing
from pathlib import Path

from localservers.waiting import wait_until
from verify.fault_lab import TOKEN, FaultLab, SideService, free_port
from verify.faults.fault import Fault, Raised

DELIVERY_SECONDS = 30.0
LOOP_SECONDS = 30.0
_POLICY = "defaults: {error: P1, warning: P2, info: none}\nrules: []\n"
_SYSTEM_BUSY = {"operation": "gettoken", "errcode": -1, "times": 1}
_NO_PERMISSION = {"operation": "message/send", "errcode": 60011}


def fire(shop: FaultLab) -> None:
    """See the package."""
    policy = shop.alert_policy
    if policy is None:
        policy = shop.folder / "alerts.yaml"
        policy.write_text(_POLICY, encoding="utf-8")
    credentials = {"WEIXIN_CORP_ID": "ww0123456789abcdef", "WEIXIN_CORP_SECRET": TOKEN, "WEIXIN_AGENT_ID": "1000002"}
    # The default port belongs to the simulator of the stack beside.
    simulated = credentials | {"SMTP_PORT": str(free_port())}
    with shop.service("wechat_simulator", simulated, ready="/_control/calls") as weixin:
        for fault in (_SYSTEM_BUSY, _NO_PERMISSION):
            weixin.http.post("/_control/faults", json=fault).raise_for_status()
        variables = {
            **credentials,
            "WEIXIN_TO_USER": "nobody",
            "WEIXIN_BASE_URL": str(weixin.http.base_url),
            "DATABASE_URL": f"sqlite:///{shop.folder}/gateway.db",
            "ALERT_POLICY": str(policy),
            "GATEWAY_TOKEN": TOKEN,
            # A third of a second: no pipeline run can have succeeded within it.
            "EXPECTED_RUN_HOURS": "0.0001",
            # The discard port, on which no server listens.
            "SMTP_URL": "smtp://127.0.0.1:9",
            "ALERT_EMAIL_TO": "nobody@example.test",
            "APPRISE_URLS": "ops=json://127.0.0.1:9/",
        }
        with shop.service("notification_gateway", variables) as gateway:
            for channel in ("weixin", "email", "ops"):
                gateway.http.post("/notify", json={"title": "verify", "channel": channel}).raise_for_status()
            wait_until(lambda: _has_sent(weixin), within=DELIVERY_SECONDS, what="the gateway tries to send")
            alerts = {"version": "4", "receiver": "verify", "alerts": [{"status": "suppressed"}]}
            gateway.http.post("/webhooks/alertmanager", json=alerts).raise_for_status()
            wait_until(
                lambda: _has_incident(gateway, "pipeline.no_recent_run"), within=LOOP_SECONDS, what="a run is missed"
            )
            # The loop that closes periods reads it every five seconds.
            _drop_table(shop.folder / "gateway.db.gateway", "summary_entries")
            wait_until(
                lambda: _is_degraded(gateway, "background"), within=LOOP_SECONDS, what="a loop of the gateway fails"
            )
            wait_until(
                lambda: _is_degraded(gateway, "email"), within=DELIVERY_SECONDS, what="an email of the gateway fails"
            )
            wait_until(
                lambda: _is_degraded(gateway, "channel ops"), within=DELIVERY_SECONDS, what="another channel fails"
            )
            wait_until(
                lambda: all(_has_incident(gateway, point) for point in FAULT.raises),
                within=LOOP_SECONDS,
                what="the gateway has its own incidents",
            )
            shop.alerts += gateway.get("/alerts?environment=verify&limit=500").json()["alerts"]


def _has_sent(weixin: SideService) -> bool:
    return "message/send" in [call["operation"] for call in weixin.get("/_control/calls").json()]


def _is_degraded(gateway: SideService, check: str) -> bool:
    return bool(gateway.get("/health").json()["checks"][check]["status"] == "degraded")


def _has_incident(gateway: SideService, point: str) -> bool:
    return point in gateway.get("/alerts").text


def _drop_table(database: Path, table: str) -> None:
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        connection.execute(f"DROP TABLE {table}")


FAULT = Fault(
    "weixin",
    {
        "weixin.get_access_token_failed": Raised("notification-gateway"),
        "weixin.send_message_failed": Raised("notification-gateway"),
        "gateway.channel_failed": Raised("notification-gateway"),
        "gateway.email_failed": Raised("notification-gateway"),
        "gateway.unreadable_alert": Raised("notification-gateway"),
        "api.background_failed": Raised("notification-gateway"),
        "pipeline.no_recent_run": Raised("notification-gateway"),
    },
    fire,
)
