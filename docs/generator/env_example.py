""".env.example: every variable that docker-compose.yml passes on to a container, with its meaning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr
from pydantic_settings import BaseSettings

import monitoring
import pipeline.settings
from provisioning.variables import READ_BY
from servicekit.settings import ServiceSettings
from services import SERVICES

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
_HEAD = """# What may be set for `docker compose up`, in a file .env by docker-compose.yml. Nothing has to be: a line
# that is commented out shows the default. Secrets and addresses are made at the first start; `make env` prints them.
# Written by `make docs` from the services' settings and docker-compose.yml.
"""
_DEMO = """# --- The demo
# 0: no demo data, training and simulators; 1: with them, whatever else is set. Empty: with them, unless
# BUSINESS_DATABASE_URL, WEIXIN_CORP_ID or WEIXIN_ROBOT_KEY is set or ENVIRONMENT is production
#DEMO=
"""
_PORTS = "Ports on 127.0.0.1"
_ARTIFACTS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")


def render() -> str:
    """Return the file."""
    services: Mapping[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    groups: list[tuple[str, type[BaseSettings], list[str]]] = [
        ("Every service", ServiceSettings, list(ServiceSettings.model_fields)),
        ("Monitoring", monitoring.MonitoringSettings, list(monitoring.MonitoringSettings.model_fields)),
    ]
    settings = {service.name: service.settings for service in SERVICES} | {"airflow": pipeline.settings.Settings}
    groups += [(name, kind, list(kind.model_fields)) for name, kind in settings.items()]
    passed = {name for program in settings for name in services[program]["environment"]}
    parts, seen = [_HEAD, _DEMO], set[str]()
    for title, kind, fields in groups:
        names = [name for name in sorted(fields) if name.upper() in passed - seen]
        seen |= {name.upper() for name in names}
        lines = [f"# {kind.model_fields[name].description}\n{_line(kind, name)}" for name in names]
        parts.append("\n".join([f"# --- {title}", *lines, ""]))
    parts.append(
        "\n".join(["# --- Artifacts in a bucket (ARTIFACT_URL=s3://…)", *(f"#{name}=" for name in _ARTIFACTS), ""])
    )
    ports = services["setup"]["environment"]
    published = [
        f"#{name}={value.partition(':-')[2].rstrip('}')}" for name, value in ports.items() if name.endswith("_PORT")
    ]
    parts.append("\n".join([f"# --- {_PORTS}", *published, ""]))
    return "\n".join(parts)


def _line(kind: type[BaseSettings], name: str) -> str:
    variable, default = name.upper(), kind.model_fields[name].default
    if name in ("environment", "sentry_environment"):
        default = "production"
    elif default is None or isinstance(default, SecretStr) or any(variable in names for names in READ_BY.values()):
        # Empty, or what `setup` makes.
        default = ""
    return f"#{variable}={default}"
