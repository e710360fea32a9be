"""Detects whether WEIXIN_BASE_URL and SMTP_URL are the demo's simulators, even if their flags are not set.

A flag is easily forgotten when an address is copied. The simulators identify themselves when they are called.
"""

import socket

import httpx

from notification_gateway.email.server import SmtpServer
from notification_gateway.settings import Settings

# How tests-e2e/src/wechat_simulator identifies itself.
WEIXIN_SERVICE = "wechat-simulator"
MAIL_IDENTITY = b"recsys mail catcher"
TIMEOUT_SECONDS = 1.0
_MAX_GREETING_BYTES = 512


def mark_simulators(settings: Settings) -> Settings:
    """Return the settings with the flags of detected simulators; an address that doesn't answer isn't one."""
    found: dict[str, bool] = {}
    if not settings.weixin_simulated and is_weixin_simulator(settings.weixin_base_url):
        found["weixin_simulated"] = True
    if not settings.email_simulated and settings.smtp_url is not None:
        server = SmtpServer.of(settings.smtp_url.get_secret_value())
        if server.scheme == "smtp" and is_mail_catcher(server.host, server.port):
            found["email_simulated"] = True
    return settings.model_copy(update=found)


def is_weixin_simulator(base_url: str) -> bool:
    """Say whether the simulator answers at an address; WeChat Work's own address is not called."""
    if base_url == Settings.model_fields["weixin_base_url"].default:
        return False
    try:
        answer = httpx.get(f"{base_url.rstrip('/')}/health", timeout=TIMEOUT_SECONDS, follow_redirects=False).json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return False
    return isinstance(answer, dict) and answer.get("service") == WEIXIN_SERVICE


def is_mail_catcher(host: str, port: int) -> bool:
    """Say whether the demo's mail catcher answers there."""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_SECONDS) as connection:
            greeting = connection.recv(_MAX_GREETING_BYTES)
            connection.sendall(b"QUIT\r\n")
    except (OSError, ValueError):
        return False
    return MAIL_IDENTITY in greeting
