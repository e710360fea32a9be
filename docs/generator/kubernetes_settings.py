"""deploy/kubernetes: each program's settings, from the variables that a stack makes and the Settings classes."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import monitoring
import pipeline.settings
from provisioning.generated import STACK
from provisioning.places import Places
from provisioning.variables import READ_BY, derived
from services import SERVICES


def _is_secret(annotation: Any) -> bool:
    """Say whether a field is a secret: `Token`, `Token | None`, with whatever is annotated around it."""
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))


SECRET = "recsys-secrets"  # noqa: S105 - its name
_BASE = "deploy/kubernetes/base/settings"
_CHECKOUT = Path(__file__).parents[2]
_STATE = Path("/var/lib/recsys")
_PLACES = Places(
    # Redis and PostgreSQL are outside: their addresses hold passwords, and are in the Secret.
    redis="redis:6379",
    postgres="postgres:5432",
    collector="sentry:9000",
    collector_page="http://sentry:9000",
    registry="model-registry:8001",
    sync="feature-sync:8002",
    gateway="notification-gateway:8003",
    gateway_page="http://notification-gateway:8003",
    airflow="airflow-api-server:8080",
    airflow_page="http://airflow-api-server:8080",
    airflow_listens_on="0.0.0.0:8080",
    prometheus="prometheus:9090",
    artifacts=Path("artifacts"),
    state=_STATE,
    airflow_home=_STATE / "airflow",
    dags=Path("/opt/dags"),
    alert_policy=Path("/etc/recsys/alerts.yaml"),
)
_MARK = "<secret>"
_MADE = derived(_PLACES, dict.fromkeys(STACK, _MARK))
# Pods of several nodes share no folder.
_HERE = {
    "ARTIFACT_URL": "s3://recsys-artifacts",
    "AIRFLOW__CORE__EXECUTOR": "KubernetesExecutor",
    "AIRFLOW__CORE__PARALLELISM": "16",
}
_FIXED = {"ENVIRONMENT": "production", "SENTRY_ENVIRONMENT": "production", "TMPDIR": str(_STATE / "tmp")}
_S3_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_S3 = ("AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")
# Fixed by the image, or one of a kind by the pod's own name.
_INSIDE = {"HOST", "PORT", "REPLICA_ID", "CONSUMER_NAME"}
# Read in deployments of earlier releases; here it would give the registry's first admin to every program.
_EARLIER = {"REGISTRY_TOKEN"}
_SETTINGS: dict[str, type[BaseSettings]] = {
    **{service.name: service.settings for service in SERVICES},
    "airflow": pipeline.settings.Settings,
}
_OF_ALL = (monitoring.MonitoringSettings, *_SETTINGS.values())
_SECRETS = {
    *STACK,
    *_S3_SECRETS,
    *(name for name, value in _MADE.items() if _MARK in value),
    *(
        name.upper()
        for kind in _OF_ALL
        for name, field in kind.model_fields.items()
        # What is not shown is a secret too: an address with a password.
        if not field.repr or _is_secret(field.annotation)
    ),
}


class Variables(NamedTuple):
    """What one program gets: values, secrets that it can't do without, and what a user may set."""

    values: dict[str, str]
    required: list[str]
    optional: list[str]
    settable: dict[str, FieldInfo | None]


def variables(program: str) -> Variables:
    """Return the variables of a program."""
    made = READ_BY[program]
    fields: dict[str, FieldInfo | None] = {}
    if program in _SETTINGS:
        for kind in (monitoring.MonitoringSettings, _SETTINGS[program]):
            fields |= {name.upper(): field for name, field in kind.model_fields.items()}
    if "ARTIFACT_URL" in made or program == "feature-sync":
        fields |= dict.fromkeys((*_S3_SECRETS, *_S3))
    rest = {name: field for name, field in sorted(fields.items()) if name not in {*made, *_FIXED, *_INSIDE, *_EARLIER}}
    values = {name: _HERE.get(name, _MADE.get(name, "")) for name in made if name not in _SECRETS}
    if program in _SETTINGS:
        values |= {name: value for name, value in _FIXED.items() if name == "TMPDIR" or name in fields}
    return Variables(
        values=values,
        required=sorted(name for name in made if name in _SECRETS),
        optional=[name for name in rest if name in _SECRETS],
        settable={name: field for name, field in rest.items() if name not in _SECRETS},
    )


def _env_file(program: str) -> str:
    found = variables(program)
    lines = ["# Written by `make docs`. Set more, or other values, in an overlay: configMapGenerator, behavior: merge."]
    lines += [f"{name}={value}" for name, value in sorted(found.values.items())]
    if found.settable:
        lines += ["# What else may be set; the default is shown."]
    for name, field in found.settable.items():
        default = "" if field is None or field.default is None else field.default
        lines.append(f"#{name}={default}")
    return "\n".join([*lines, ""])


def _references(program: str) -> list[dict[str, object]]:
    found = variables(program)
    return [{"name": name, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": name}}} for name in found.required] + [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": name, "optional": True}}}
        for name in found.optional
    ]


def _patch(program: str, containers: Iterable[str] = (), prepare: str = "") -> str:
    def container(name: str) -> dict[str, object]:
        return {
            "name": name,
            "envFrom": [{"configMapRef": {"name": f"{program}-settings"}}],
            "env": _references(program),
        }

    spec: dict[str, object] = {"containers": [container(name) for name in containers or (program,)]}
    if prepare:
        spec["initContainers"] = [container(prepare)]
    document = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": program},
        "spec": {"template": {"spec": spec}},
    }
    return f"# Written by `make docs`.\n{_yaml(document)}"


def _airflow_values() -> str:
    found = variables("airflow")
    document = {
        "env": [{"name": name, "value": value} for name, value in sorted(found.values.items())],
        "secret": [{"envName": name, "secretName": SECRET, "secretKey": name} for name in found.required],
    }
    settable = ", ".join((*found.settable, *found.optional))
    return (
        f"# Written by `make docs`: values for the chart, after airflow-values.yaml.\n# May be set too: {settable}\n"
        + _yaml(document)
    )


def _secret_names() -> str:
    """Return the example of the file that the Secret is made from."""
    found = [variables(program) for program in READ_BY]
    required = sorted({name for each in found for name in each.required})
    optional = sorted({name for each in found for name in each.optional} - set(required))
    head = "# Written by `make docs`. Copy it to secrets.env, which is not committed, and fill it in."
    return "\n".join(
        [head, *(f"{name}=" for name in required), "# May be left out.", *(f"#{name}=" for name in optional), ""]
    )


def _yaml(document: object) -> str:
    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, _data: object) -> bool:
            return True

    return yaml.dump(document, Dumper=Plain, sort_keys=False, width=120)


PAGES: dict[str, Callable[[], str]] = {
    **{f"{_BASE}/{program}.env": partial(_env_file, program) for program in READ_BY if program != "airflow"},
    **{f"{_BASE}/{service.name}.yaml": partial(_patch, service.name) for service in SERVICES},
    f"{_BASE}/sentry.yaml": partial(_patch, "sentry", ("sentry", "worker"), "prepare"),
    # Kustomize reads no file above its own folder.
    f"{_BASE}/alerts.yaml": partial((_CHECKOUT / "deploy/alerts.yaml").read_text, encoding="utf-8"),
    "deploy/kubernetes/airflow-settings.yaml": _airflow_values,
    "deploy/kubernetes/overlays/example/secrets.env.example": _secret_names,
}
