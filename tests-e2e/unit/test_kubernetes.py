"""deploy/kubernetes: the rendered documents are valid, complete, restricted, and contain no secret."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic_settings import BaseSettings

import feature_sync.app
import feature_sync.settings
import model_registry.app
import model_registry.settings
import monitoring
import notification_gateway.app
import notification_gateway.settings
import pipeline.settings
import recommender_api.app
import recommender_api.settings
from provisioning.variables import READ_BY
from testkit.dockerfiles import image_lines

CHECKOUT = Path(__file__).parents[2]
KUBERNETES = CHECKOUT / "deploy/kubernetes"
VERSION = "1.37"
SECRET = "recsys-secrets"
SERVICES = {
    "recommender-api": (recommender_api.settings.Settings, recommender_api.app.create_app),
    "model-registry": (model_registry.settings.Settings, model_registry.app.create_app),
    "feature-sync": (feature_sync.settings.Settings, feature_sync.app.create_app),
    "notification-gateway": (notification_gateway.settings.Settings, notification_gateway.app.create_app),
}
PROGRAMS = (*SERVICES, "sentry")
COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8"))
IMAGES = {name: "\n".join(image_lines(CHECKOUT, COMPOSE["services"][name]["build"])) for name in PROGRAMS}


def rendered(folder: Path) -> list[dict[str, Any]]:
    """Return the documents that kubectl renders from a folder."""
    kubectl = Path(sys.executable).with_name("kubectl")
    found = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
    return list(yaml.safe_load_all(found.stdout))


BASE = rendered(KUBERNETES / "base")
WORKLOADS = {found["metadata"]["name"]: found for found in BASE if found["kind"] == "StatefulSet"}


def pod(program: str) -> dict[str, Any]:
    """Return a program's pod."""
    spec: dict[str, Any] = WORKLOADS[program]["spec"]["template"]["spec"]
    return spec


def containers(program: str) -> list[dict[str, Any]]:
    """Return every container of a program's pod."""
    return [*pod(program).get("initContainers", []), *pod(program)["containers"]]


def config_map(name: str) -> dict[str, str]:
    """Return the data of a ConfigMap of the base."""
    (found,) = (found for found in BASE if found["kind"] == "ConfigMap" and found["metadata"]["name"] == name)
    data: dict[str, str] = found["data"]
    return data


def settings_names(kind: type[BaseSettings]) -> set[str]:
    """Return the variables of a program's settings and of monitoring."""
    return {name.upper() for each in (kind, monitoring.MonitoringSettings) for name in each.model_fields}


def secret_references(program: str) -> dict[str, bool]:
    """Return the variables that come from the Secret, and whether each may be missing."""
    for container in containers(program):
        for entry in container["env"]:
            reference = entry["valueFrom"]["secretKeyRef"]
            assert (reference["name"], reference["key"]) == (SECRET, entry["name"])
    return {
        entry["name"]: entry["valueFrom"]["secretKeyRef"].get("optional", False)
        for entry in containers(program)[0]["env"]
    }


@pytest.mark.parametrize("folder", ["base", "overlays/production", "overlays/development"])
def test_rendered_documents_are_valid(folder: str) -> None:
    for document in rendered(KUBERNETES / folder):
        kubernetes_validate.validate(document, VERSION, strict=True)
        assert document["kind"] != "Secret"


def test_the_example_creates_the_secret_with_every_referenced_key(tmp_path: Path) -> None:
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    example = tmp_path / "kubernetes/overlays/example"
    names = re.findall(r"^([A-Z_]+)=$", (example / "secrets.env.example").read_text(encoding="utf-8"), re.MULTILINE)
    (example / "secrets.env").write_text("".join(f"{name}=value\n" for name in names), encoding="utf-8")
    documents = rendered(example)
    for document in documents:
        kubernetes_validate.validate(document, VERSION, strict=True)
    (secret,) = (document for document in documents if document["kind"] == "Secret")
    assert secret["metadata"]["name"] == SECRET
    asked = {name for program in PROGRAMS for name, optional in secret_references(program).items() if not optional}
    asked |= {entry["secretKey"] for entry in airflow_settings()["secret"]}
    assert set(secret["data"]) == asked


def test_every_program_has_a_workload_a_service_and_a_disruption_budget() -> None:
    assert set(WORKLOADS) == set(PROGRAMS)
    for kind in ("Service", "PodDisruptionBudget"):
        assert {found["metadata"]["name"] for found in BASE if found["kind"] == kind} == set(PROGRAMS)
    (autoscaler,) = (found for found in BASE if found["kind"] == "HorizontalPodAutoscaler")
    target = autoscaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", "recommender-api")
    # A fixed count would undo the autoscaler's at every apply.
    assert "replicas" not in WORKLOADS["recommender-api"]["spec"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_pod_has_only_the_permissions_that_it_needs(program: str) -> None:
    spec = pod(program)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(program):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_pending_events_survive_the_pod(program: str) -> None:
    (claim,) = WORKLOADS[program]["spec"]["volumeClaimTemplates"]
    for container in containers(program):
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted[claim["metadata"]["name"]] == "/var/lib/recsys"
    values = config_map_of(program)
    folders = [values[name] for name in ("SPOOL_DIR", "EVENT_JOURNAL_DIR", "MODEL_CACHE_DIR") if name in values]
    assert all(folder.startswith("/var/lib/recsys/") for folder in folders)


def config_map_of(program: str) -> dict[str, str]:
    """Return the ConfigMap that all of a program's containers read."""
    (name,) = {container["envFrom"][0]["configMapRef"]["name"] for container in containers(program)}
    return config_map(name)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_variable_that_a_stack_sets_is_given(program: str) -> None:
    assert set(READ_BY[program]) <= set(config_map_of(program)) | set(secret_references(program))


@pytest.mark.parametrize("program", SERVICES)
def test_every_setting_is_given_or_has_a_default(program: str) -> None:
    kind = SERVICES[program][0]
    given = set(config_map_of(program)) | set(secret_references(program))
    required = {name.upper() for name, field in kind.model_fields.items() if field.is_required()}
    assert required <= given
    assert given - settings_names(kind) <= {"TMPDIR", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "ARTIFACT_URL"}


@pytest.mark.parametrize("program", SERVICES)
def test_a_service_starts_in_production_with_the_given_settings(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dummy values replace the Secret's, and optional ones are left out."""
    addresses = {
        "REDIS_URL": "redis://:password@redis:6379/0",
        "DATABASE_URL": "postgresql+psycopg2://recsys:password@postgres/recsys",
        "SENTRY_DSN": "http://key@sentry:9000/1",
    }
    for name, value in config_map_of(program).items():
        monkeypatch.setenv(name, value)
    for name, optional in secret_references(program).items():
        if not optional:
            monkeypatch.setenv(name, addresses.get(name, "a-secret"))
    assert SERVICES[program][0]().model_dump()["environment"] == "production"
    assert monitoring.MonitoringSettings().sentry_environment == "production"


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_secret_is_in_a_config_map(program: str) -> None:
    values = config_map_of(program)
    assert not [name for name in values if re.search(r"TOKEN|SECRET|PASSWORD|_KEY|DSN|DATABASE_URL|REDIS_URL", name)]
    assert not [value for value in values.values() if "<secret>" in value or "@" in value]


@pytest.mark.parametrize("program", PROGRAMS)
def test_image_and_port_are_the_dockerfiles(program: str) -> None:
    port = int(re.findall(r"^EXPOSE (\d+)$", IMAGES[program], re.MULTILINE)[0])
    (service,) = (found for found in BASE if found["kind"] == "Service" and found["metadata"]["name"] == program)
    (main, *_) = pod(program)["containers"]
    assert main["ports"] == [{"name": "http", "containerPort": port}]
    assert service["spec"]["ports"] == [{"name": "http", "port": port, "targetPort": "http"}]
    assert {container["image"] for container in containers(program)} == {f"recsys/{program}"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_probes_request_paths_that_the_program_answers(program: str) -> None:
    (main, *_) = pod(program)["containers"]
    probes = {name: main[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {probe["port"] for probe in probes.values()} == {"http"}
    paths = {name: probe["path"] for name, probe in probes.items()}
    if program == "sentry":
        assert all(f"127.0.0.1:9000{path}'" in IMAGES[program] for path in paths.values())
        return
    kind, create_app = SERVICES[program]
    documented = create_app(kind()).openapi()["paths"]
    assert set(paths.values()) <= set(documented)
    # A dead dependency is not a reason to restart a process.
    assert paths["liveness"] == paths["startup"] == "/health"
    assert paths["readiness"] == ("/ready" if "/ready" in documented else "/health")


def test_the_gateway_reads_the_alert_policy_from_its_config_map() -> None:
    (volume,) = (found for found in pod("notification-gateway")["volumes"] if "configMap" in found)
    (mount,) = (
        found
        for found in pod("notification-gateway")["containers"][0]["volumeMounts"]
        if found["name"] == volume["name"]
    )
    (file,) = config_map(volume["configMap"]["name"])
    assert config_map_of("notification-gateway")["ALERT_POLICY"] == f"{mount['mountPath']}/{file}"


def airflow_settings() -> dict[str, Any]:
    """Return the settings that Airflow's chart gives to every container."""
    found: dict[str, Any] = yaml.safe_load((KUBERNETES / "airflow-settings.yaml").read_text(encoding="utf-8"))
    return found


def test_airflow_gets_every_variable_that_a_stack_sets_and_no_unknown_one() -> None:
    found = airflow_settings()
    given = {entry["name"] for entry in found["env"]} | {entry["envName"] for entry in found["secret"]}
    assert set(READ_BY["airflow"]) <= given
    assert given <= set(READ_BY["airflow"]) | settings_names(pipeline.settings.Settings) | {"TMPDIR"}
    assert {entry["secretName"] for entry in found["secret"]} == {SECRET}


def test_airflow_runs_its_tasks_in_pods_of_our_image() -> None:
    values = yaml.safe_load((KUBERNETES / "airflow-values.yaml").read_text(encoding="utf-8"))
    env = {entry["name"]: entry["value"] for entry in airflow_settings()["env"]}
    assert values["executor"] == env["AIRFLOW__CORE__EXECUTOR"] == "KubernetesExecutor"
    assert values["airflowHome"] == env["AIRFLOW_HOME"]
    assert values["images"]["airflow"] == values["images"]["pod_template"]
    # Pods on several nodes share no folder.
    assert env["ARTIFACT_URL"].startswith("s3://")
    # The chart would set the same variables from its own Secrets.
    builtin = values["enableBuiltInSecretEnvVars"]
    taken = {entry["envName"] for entry in airflow_settings()["secret"] if entry["envName"].startswith("AIRFLOW__")}
    assert taken <= set(builtin)
    assert not any(builtin.values())
    locked = (CHECKOUT / "requirements/images/airflow-kubernetes.txt").read_text(encoding="utf-8")
    assert f"apache-airflow=={values['airflowVersion']} " in locked
    assert "apache-airflow-providers-cncf-kubernetes==" in locked


def test_airflows_image_has_what_the_chart_calls_in_it() -> None:
    values = yaml.safe_load((KUBERNETES / "airflow-values.yaml").read_text(encoding="utf-8"))
    lines = image_lines(CHECKOUT, COMPOSE["services"]["airflow"]["build"])
    # Probes run commands by the official image's entrypoint; the sidecars run its script /clean-logs.
    assert "RUN ln -s /usr/local/bin/with-settings /entrypoint" in lines
    for program in ("scheduler", "dagProcessor", "triggerer"):
        assert values[program]["logGroomerSidecar"]["enabled"] is False
    assert values["config"]["core"]["auth_manager"].startswith("airflow.api_fastapi.")
    # Files are mounted below AIRFLOW_HOME; a folder that is created for them belongs to root.
    (owned,) = (line for line in lines if "install -d -o recsys" in line)
    assert f" {values['airflowHome']} " in owned
