"""docs/CONFIGURATION.md: one table per Settings class."""

from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

import monitoring
import pipeline.settings
from servicekit.settings import ServiceSettings
from services import SERVICES

_HEAD = """# Configuration

Generated from the Settings classes by `make docs`; `make test` checks that it is what the code says. Everything is read
from the environment once, at start. An unusable value ends the start with a message that names the variable and not its
value. A token is printable ASCII without white space or a line break at its end.

The HTTP address of a service contains no user and no password (`REGISTRY_URL`, `FEATURE_SYNC_URL`, `GATEWAY_URL`,
`GATEWAY_PUBLIC_URL`, `COLLECTOR_URL`, `WEIXIN_BASE_URL`): its token is a setting of its own. These may contain them:
`REDIS_URL`, `DATABASE_URL`, `BUSINESS_DATABASE_URL`, `SMTP_URL`, `APPRISE_URLS`, `PROMETHEUS_URL`, `HEARTBEAT_URL` and
the key in `SENTRY_DSN`. Their user, password and key are redacted in logs and events.
"""


def render() -> str:
    """Return the page."""
    shared = set(ServiceSettings.model_fields)
    parts = [
        _HEAD,
        _table("Every service", ServiceSettings, set()),
        _table("Monitoring (every process)", monitoring.MonitoringSettings, set()),
    ]
    parts += [_table(service.name, service.settings, shared - _overridden(service.settings)) for service in SERVICES]
    monitored = set(monitoring.MonitoringSettings.model_fields)
    parts.append(_table("pipeline and Airflow tasks", pipeline.settings.Settings, monitored))
    return "\n".join(parts)


def _overridden(settings: type[BaseSettings]) -> set[str]:
    """Return the shared settings that a service gives a default of its own."""
    fields = settings.model_fields
    return {name for name, field in ServiceSettings.model_fields.items() if fields[name].default != field.default}


def _table(title: str, settings: type[BaseSettings], leave_out: set[str]) -> str:
    rows = [
        f"| `{name.upper()}` | {_default(field)} | {_cell(field.description or '')} |"
        for name, field in sorted(settings.model_fields.items())
        if name not in leave_out
    ]
    return "\n".join([f"## {title}", "", "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "*required*"
    if isinstance(value, SecretStr):
        return "*a development secret, refused in production*" if value.get_secret_value() else "–"
    return "–" if value in (None, "") else f"`{_cell(str(value))}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
