"""The values that a stack generates once and keeps: secrets and keys."""

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
    "REGISTRY_REPLICA_TOKEN": lambda: token_hex(32),
    "REGISTRY_READ_TOKEN": lambda: token_hex(32),
    "REGISTRY_CI_TOKEN": lambda: token_hex(32),
    "GATEWAY_TOKEN": lambda: token_hex(24),
    "ADMIN_TOKEN": lambda: token_hex(24),
    "EVENTS_TOKEN": lambda: token_hex(24),
    "FORGET_SECRET": lambda: token_hex(32),
    "SENTRY_WEBHOOK_SECRET": lambda: token_hex(24),
    # A key in Fernet's format, as cryptography generates it.
    "AIRFLOW__CORE__FERNET_KEY": lambda: urlsafe_b64encode(token_bytes(32)).decode(),
    "AIRFLOW__API__SECRET_KEY": lambda: token_hex(32),
    "AIRFLOW__API_AUTH__JWT_SECRET": lambda: token_hex(48),
}
# Credentials of the only corporation in the WeChat Work simulator.
SIMULATED_WEIXIN: Mapping[str, Callable[[], str]] = {
    "WEIXIN_CORP_ID": lambda: f"ww{token_hex(8)}",
    "WEIXIN_CORP_SECRET": lambda: token_hex(21),
    "WEIXIN_AGENT_ID": lambda: "1000002",
    "WEIXIN_TO_USER": lambda: "oncall",
}
# A user who sets one of these has a real WeChat Work.
WEIXIN_CREDENTIALS = ("WEIXIN_CORP_ID", "WEIXIN_ROBOT_KEY")
# Marks that the gateway's channels lead to simulators.
SIMULATED = ("WEIXIN_SIMULATED", "EMAIL_SIMULATED")
SIMULATED_RECIPIENT = "oncall@recsys.local"


def simulates_weixin(given: Mapping[str, str]) -> bool:
    """Return whether the simulator replaces WeChat Work: no credentials are set, and it is not production."""
    return not _is_production(given) and not any(given.get(name) for name in WEIXIN_CREDENTIALS)


def simulates_email(given: Mapping[str, str]) -> bool:
    """Return whether the mail catcher replaces a mail server: none is set, and it is not production."""
    return not _is_production(given) and not given.get("SMTP_URL")


def simulated_weixin(base_url: str) -> dict[str, str]:
    """Return the settings that connect the gateway to the simulator and mark it as such."""
    return {"WEIXIN_BASE_URL": base_url, "WEIXIN_SIMULATED": "1"}


def simulated_email(smtp_url: str) -> dict[str, str]:
    """Return the settings that connect the gateway to the mail catcher and mark it as such."""
    return {"SMTP_URL": smtp_url, "EMAIL_SIMULATED": "1", "ALERT_EMAIL_TO": SIMULATED_RECIPIENT}


def _is_production(given: Mapping[str, str]) -> bool:
    return given.get("ENVIRONMENT") == "production"


def kept_or_made(kept: Mapping[str, str], makers: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    """Return every value of `makers`: the stored one, or a new one."""
    return {name: kept.get(name) or make() for name, make in makers.items()}
