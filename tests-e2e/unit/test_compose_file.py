"""docker-compose.yml keeps the rules of every container, and passes on every setting."""

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

import feature_sync.settings
import model_registry.settings
import monitoring
import notification_gateway.settings
import pipeline.settings
import ranking
import recommender_api.settings
from provisioning.containers import NO_DEMO
from provisioning.demo import OWN
from provisioning.variables import READ_BY
from ranking.prebuilt_cache import PREBUILT
from testkit.dockerfiles import image_lines

CHECKOUT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
BUILDS: dict[str, dict[str, Any]] = {name: found["build"] for name, found in SERVICES.items() if "build" in found}
ONE_SHOTS = {"setup", "setup-demo", "airflow-init"}
SETTINGS: dict[str, type[BaseSettings]] = {
    "recommender-api": recommender_api.settings.Settings,
    "model-registry": model_registry.settings.Settings,
    "feature-sync": feature_sync.settings.Settings,
    "notification-gateway": notification_gateway.settings.Settings,
    "airflow": pipeline.settings.Settings,
}
# Set by the image, or unique by the container's own host name.
INSIDE = {"HOST", "PORT", "REPLICA_ID", "CONSUMER_NAME"}


def _keys_in_twice(node: yaml.Node | None) -> list[str]:
    if isinstance(node, yaml.SequenceNode):
        return [key for value in node.value for key in _keys_in_twice(value)]
    if not isinstance(node, yaml.MappingNode):
        return []
    counted = Counter(key.value for key, _ in node.value)
    below = [key for _, value in node.value for key in _keys_in_twice(value)]
    return [*(key for key, count in counted.items() if count > 1), *below]


def test_no_mapping_has_a_key_twice() -> None:
    """Compose rejects that; Python's reader would take the last one."""
    assert _keys_in_twice(yaml.compose((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8"))) == []


def test_the_recommenders_image_brings_compiled_code_to_where_its_service_takes_it_from() -> None:
    lines = image_lines(CHECKOUT, SERVICES["recommender-api"]["build"])
    prebuilt = PREBUILT.relative_to(Path(str(ranking.__file__)).parents[1])
    assert f"RUN NUMBA_CACHE_DIR=/opt/app/{prebuilt} python -m ranking.precompiled" in lines


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_only_the_permissions_that_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert "privileged" not in service
    assert "cap_add" not in service


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in ONE_SHOTS])
def test_a_container_is_restarted_and_limited(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["mem_limit"]
    assert SERVICES[name]["stop_grace_period"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_on_loopback(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("program", SETTINGS)
def test_every_setting_is_created_by_setup_or_passed_on(program: str) -> None:
    settings = {
        name.upper() for kind in (SETTINGS[program], monitoring.MonitoringSettings) for name in kind.model_fields
    }
    passed = set(SERVICES[program]["environment"])
    made = set(READ_BY[program])
    # Read in deployments of earlier releases; here it would give the registry's first admin to every program.
    earlier = {"REGISTRY_TOKEN"} - made
    assert settings - passed - made - INSIDE - earlier == set()
    assert not passed & earlier
    assert {name for name in made | passed if "__" not in name} - settings <= {
        *("TMPDIR", "AIRFLOW_HOME"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"),
        *(("ARTIFACT_URL",) if program == "feature-sync" else ()),
    }


def test_every_dockerfile_and_every_target_is_of_a_service() -> None:
    dockerfiles = {path.relative_to(CHECKOUT) for path in CHECKOUT.glob("**/Dockerfile") if ".venvs" not in path.parts}
    assert dockerfiles == {Path(build["dockerfile"]) for build in BUILDS.values()}
    text = (CHECKOUT / "deploy/images/Dockerfile").read_text(encoding="utf-8")
    finals = {name for name in re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE) if f"FROM {name} " not in text}
    inner = {"dependencies", "packages", "plain", "openmp"}
    assert finals - inner == {build["target"] for build in BUILDS.values() if "target" in build}


@pytest.mark.parametrize("name", BUILDS)
def test_an_image_runs_as_nobody_special(name: str) -> None:
    users = [line for line in image_lines(CHECKOUT, BUILDS[name]) if line.startswith("USER ")]
    assert users == ["USER recsys"]


@pytest.mark.parametrize("name", [name for name, build in BUILDS.items() if "target" in build])
def test_an_image_of_a_service_is_that_of_its_own_folder_and_port(name: str) -> None:
    build = BUILDS[name]
    lines = image_lines(CHECKOUT, build)
    assert (build["target"], build["args"]["SERVICE"]) == (name, name)
    assert f'CMD ["python", "-m", "{name.replace("-", "_")}"]' in lines
    (port,) = re.findall(r"^ENV .*\bPORT=(\d+)", next(line for line in lines if re.search(r"[ ]PORT=", line)))
    assert any(re.fullmatch(rf"EXPOSE {port}\b.*", line) for line in lines)
    assert any(published.endswith(f":{port}") for published in SERVICES[name]["ports"])
    for folder in build["args"].get("LIBS", "").split():
        assert (CHECKOUT / folder / "pyproject.toml").is_file()


@pytest.mark.parametrize("name", sorted(SETTINGS.keys() - {"airflow"}))
def test_an_image_holds_the_libraries_that_its_service_imports_and_no_other(name: str) -> None:
    """Transitively: what they import counts as well, and the commands that a service brings."""
    own = {path.parent.name for path in (CHECKOUT / "libs").glob("*/pyproject.toml")}
    needed: set[str] = set()
    brought = set(re.findall(r'"recsys-(\w+)"', (CHECKOUT / name / "pyproject.toml").read_text(encoding="utf-8")))
    folders = [CHECKOUT / name]
    while folders:
        text = "".join(path.read_text(encoding="utf-8") for path in folders.pop().glob("src/**/*.py"))
        found = set(re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE)) & own - needed
        found |= {"registryctl"} & brought - needed
        needed |= found
        folders += [CHECKOUT / "libs" / each for each in found]
    assert {Path(folder).name for folder in BUILDS[name]["args"]["LIBS"].split()} == needed


def test_a_bare_up_starts_every_service() -> None:
    assert not any(service.get("profiles") for service in SERVICES.values())


def test_setup_finds_every_setting_that_conflicts_with_the_demo() -> None:
    assert {"DEMO", "ENVIRONMENT", *OWN} <= set(SERVICES["setup-demo"]["environment"])
    assert SERVICES["setup-demo"]["command"] == ["demo"]


@pytest.mark.parametrize("name", ["demo", "wechat-simulator"])
def test_a_demo_container_idles_in_good_health_if_the_demo_is_off(name: str) -> None:
    service, marker = SERVICES[name], f"/var/lib/recsys/{NO_DEMO}"
    assert service["depends_on"]["setup-demo"] == {"condition": "service_completed_successfully"}
    assert any(mount.endswith(":/var/lib/recsys") for mount in service["volumes"])
    script, health = service["command"][-1], service["healthcheck"]["test"][-1]
    assert f"[ -e {marker} ]" in script
    assert script.rstrip().endswith("exec sleep infinity")
    assert f'os.path.exists("{marker}") or ' in health
    # One text that is a valid Python program as well as a shell script.
    compile(health, name, "exec")
    subprocess.run(["sh", "-n", "-c", script.replace("$$", "$")], check=True)


def test_the_gateway_starts_after_the_setup_has_decided_about_simulators() -> None:
    assert SERVICES["notification-gateway"]["depends_on"]["setup-demo"] == {
        "condition": "service_completed_successfully"
    }
