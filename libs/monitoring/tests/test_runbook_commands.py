"""The commands of the runbooks exist, in each way of running the stack."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from contracts.deployments import DeploymentStage
from monitoring import catalogue
from monitoring.catalogue.commands import COUNT, Command, commands_of, load_commands
from notification_gateway.cli import main as alertctl
from registryctl.cli import main as registryctl

ROOT = Path(__file__).parents[3]
ALL = sorted(
    {each for group in (load_commands().components, load_commands().points) for each in group.values()},
    key=str,
)
COMMANDS = [command for commands in ALL for command in commands]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
SERVICES = set(yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"])
PROGRAMS = (ROOT / "deploy/native/src/native/programs.py").read_text(encoding="utf-8")
STATEFUL_SETS = {
    each["metadata"]["name"]
    for path in (ROOT / "deploy/kubernetes/base").glob("*.yaml")
    for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    if isinstance(each, dict) and each.get("kind") == "StatefulSet"
}
# By the chart of Airflow.
OF_THE_CHART = {"deployment/airflow-scheduler"}
CHART_LABELS = {"component=scheduler", "component=dag-processor"}


def runs(command: list[str]) -> bool:
    """Return whether a tool of ours has a subcommand."""
    tool = {"registryctl": registryctl, "alertctl": alertctl}[Path(command[0]).name]
    with pytest.raises(SystemExit) as ended:
        tool([command[1], "--help"])
    return ended.value.code == 0


def check_inner(words: list[str]) -> None:
    """Check what runs within a container: a tool of ours, or a program of its image."""
    if words[0] == "with-settings":
        words = words[1:]
    if words[0] == "sh":
        words = shlex.split(words[2])
    if words[0] in ("registryctl", "alertctl"):
        assert runs(words)
        return
    assert words[0] in ("python", "redis-cli", "pg_isready", "airflow")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.native)
def test_a_native_command_is_a_target_or_a_tool(command: Command) -> None:
    words = shlex.split(command.native)
    if words[0] != "make":
        assert words[0].startswith(".venvs/services/bin/")
        assert runs(words)
        return
    assert words[1] in TARGETS
    for word in words[2:]:
        name, _, value = word.partition("=")
        assert name == "SERVICE"
        assert f'"{value}"' in PROGRAMS


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.compose)
def test_a_command_for_containers_names_a_service(command: Command) -> None:
    words = [word for word in shlex.split(command.compose) if word not in ("-T", "--tail", "100", "--detach")]
    assert words[:2] == ["docker", "compose"]
    assert words[2] in ("ps", "logs", "exec", "up")
    assert set(words[3:4]) <= SERVICES
    if words[2] == "exec":
        check_inner(words[4:])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.kubernetes)
def test_a_command_for_kubernetes_names_what_is_there(command: Command) -> None:
    words = shlex.split(command.kubernetes)
    assert words[:3] == ["kubectl", "-n", "recsys"]
    for word in words:
        kind, _, name = word.partition("/")
        if kind in ("statefulset", "deployment") and name:
            assert name in STATEFUL_SETS if kind == "statefulset" else word in OF_THE_CHART
    if "-l" in words:
        assert words[words.index("-l") + 1] in CHART_LABELS
    if "--" in words:
        check_inner(words[words.index("--") + 1 :])


def test_every_point_has_three_commands() -> None:
    assert {len(commands_of(point)) for point in catalogue.load_all()} == {COUNT}
    assert set(load_commands().points) <= set(catalogue.load_all().by_id())


def test_every_point_has_a_chinese_runbook() -> None:
    missing = set(catalogue.load_all().by_id()) - set(catalogue.load_chinese_runbooks())
    assert missing == set()


@pytest.mark.parametrize("part", ["means", "look_at", "do"])
def test_what_is_code_in_english_is_code_in_chinese(part: str) -> None:
    """A setting or command that one language names, the other names too."""
    chinese = catalogue.load_chinese_runbooks()
    for point in catalogue.load_all():
        english_code = set(re.findall(r"`([^`]+)`", getattr(point.runbook, part)))
        chinese_code = set(re.findall(r"`([^`]+)`", getattr(chinese[point.id], part)))
        assert english_code - chinese_code <= {"max_alerts: 0"}, point.id


def test_the_runbook_of_a_failed_deployment_names_the_stages_that_the_code_emits() -> None:
    emitted = {stage.value for stage in DeploymentStage} - {DeploymentStage.SOURCE, DeploymentStage.SIGNATURE}
    point = catalogue.load_all().by_id()["model.deployment_failed"]
    for runbook in (point.runbook, catalogue.load_chinese_runbooks()[point.id]):
        listed = re.search(r"[(（]([a-z, 、\n]+)[)）]", runbook.look_at)
        assert listed is not None
        assert set(re.split(r"[,、]\s*", listed[1])) == emitted
        assert all(re.search(rf"\b{stage}\b", runbook.do) for stage in emitted)
