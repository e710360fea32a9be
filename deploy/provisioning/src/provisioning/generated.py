"""The values that a stack makes for itself once and keeps: secrets and keys."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from secrets import token_bytes, token_hex

STACK: Mapping[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": lambda: token_hex(16),
    "COLLECTOR_KEY": lambda: token_hex(16),
    "COLLECTOR_TOKEN": lambda: token_hex(20),
    "COLLECTOR_PASSWORD": lambda: token_hex(12),
    "COLLECTOR_SECRET": lambda: token_hex(32),
    "REGISTRY_TOKEN": lambda: token_hex(24),
    "GATEWAY_TOKEN": lambda: token_hex(24),
    "ADMIN_TOKEN": lambda: token_hex(24),
    "EVENTS_TOKEN": lambda: token_hex(24),
    "SENTRY_WEBHOOK_SECRET": lambda: token_hex(24),
    # Fernet's form of a key, as cryptography makes it.
    "AIRFLOW__CORE__FERNET_KEY": lambda: urlsafe_b64encode(token_bytes(32)).decode(),
    "AIRFLOW__API__SECRET_KEY": lambda: token_hex(32),
    "AIRFLOW__API_AUTH__JWT_SECRET": lambda: token_hex(48),
}
# Credentials of the one corporation that the WeChat Work simulator knows.
SIMULATED_WEIXIN: Mapping[str, Callable[[], str]] = {
    "WEIXIN_CORP_ID": lambda: f"ww{token_hex(8)}",
    "WEIXIN_CORP_SECRET": lambda: token_hex(21),
    "WEIXIN_AGENT_ID": lambda: "1000002",
    "WEIXIN_TO_USER": lambda: "oncall",
}
# Who sets one of these has a WeChat Work of their own.
WEIXIN_CREDENTIALS = ("WEIXIN_CORP_ID", "WEIXIN_ROBOT_KEY")


def kept_or_made(kept: Mapping[str, str], makers: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    """Return every value of `makers`: the one that was kept, or a new one."""
    return {name: kept.get(name) or make() for name, make in makers.items()}
