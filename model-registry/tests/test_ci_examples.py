"""The steps of docs/CI.md do what the page says, and `registryctl` runs without the services."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.command_line import REFUSED
from localservers.ports import Ports
from ranking.testing import tiny_archive
from registryctl import cli
from running_registry import RunningRegistry

_ROOT = Path(__file__).parents[2]
_SHELL = ("bash", "-euo", "pipefail", "-c")
# What pip installs with httpx and pydantic.
_LIGHT = {
    *("annotated_types", "anyio", "certifi", "h11", "httpcore", "httpx", "idna", "pydantic", "pydantic_core"),
    *("sniffio", "typing_extensions", "typing_inspection"),
}


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/recsys.db"


def read_files() -> dict[str, dict[str, Any]]:
    """Return the YAML files of the page, by their names."""
    page = (_ROOT / "docs" / "CI.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return {name: yaml.safe_load(text) for name, text in blocks}


def steps_of(name: str, job: str) -> list[str]:
    """Return the commands of a job, without those that install."""
    found = read_files()[name]
    if "jobs" not in found:
        return list(found[job]["script"])
    steps = found["jobs"][job]["steps"]
    return [step["run"] for step in steps if "run" in step and step["name"] != "install"]


def run_job(steps: list[str], folder: Path, environment: dict[str, str]) -> int:
    """Run the steps as a CI system does, until one fails; return the last exit code."""
    command = folder / "bin" / "registryctl"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m registryctl "$@"\n')
    command.chmod(0o755)
    given = {"PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    for step in steps:
        ran = subprocess.run([*_SHELL, step], cwd=folder, env=given | environment, timeout=60, check=False)
        if ran.returncode:
            return ran.returncode
    return 0


def test_the_examples_deploy_are_refused_and_roll_back_with_their_exit_codes(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    created = registry.http.post("/tokens", json={"name": "github", "role": "ci", "models": ["ranker"]})
    job = {"REGISTRY_URL": registry.url, "REGISTRY_TOKEN": str(created.json()["token"])}
    github = job | {"GITHUB_ACTOR": "li.wei", "GITHUB_REPOSITORY": "org/ranker", "GITHUB_SHA": "0af3"}
    gitlab = job | {"GITLAB_USER_LOGIN": "张伟", "CI_PROJECT_PATH": "org/ranker", "CI_COMMIT_SHA": "77e1"}
    deploy, lab = steps_of(".github/workflows/deploy.yml", "deploy"), steps_of(".gitlab-ci.yml", "deploy")
    bundle = tmp_path / "bundle.tar.gz"

    tiny_archive(bundle, seed=1, ndcg=0.2)
    assert run_job(deploy, tmp_path, github) == cli.OK
    assert json.loads((tmp_path / "deployed.json").read_text())["deployment"]["version"] == registry.active() == "1"
    tiny_archive(bundle, seed=2, ndcg=0.21)
    assert run_job(lab, tmp_path, gitlab) == cli.OK
    tiny_archive(bundle, seed=3, ndcg=0.01)
    assert run_job(deploy, tmp_path, github) == REFUSED
    assert registry.active() == "2"
    rollback = steps_of(".github/workflows/rollback.yml", "rollback")
    assert run_job(rollback, tmp_path, github | {"VERSION": "1"}) == REFUSED
    assert run_job(rollback, tmp_path, github | {"VERSION": "2"}) == cli.OK
    assert registry.active() == "1"
    assert run_job(deploy, tmp_path, github | {"REGISTRY_TOKEN": "wrong"}) == cli.USAGE
    away = f"http://127.0.0.1:{Ports.free().api}"
    assert run_job(deploy, tmp_path, github | {"REGISTRY_URL": away}) == cli.UNREACHABLE

    status = json.loads((tmp_path / "deployments.json").read_text())["deployments"]
    assert [(each["deployed_by"], each["reason"]) for each in status] == [
        ("张伟", "org/ranker@77e1"),
        ("li.wei", "org/ranker@0af3"),
    ]


def test_the_two_packages_alone_bring_the_command(tmp_path: Path) -> None:
    """Of other packages it imports httpx and pydantic, and what these need."""
    for package in ("contracts", "registryctl"):
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
        subprocess.run(build, cwd=_ROOT / "libs" / package, check=True, capture_output=True, timeout=60)
    for wheel in tmp_path.glob("*.whl"):
        with zipfile.ZipFile(wheel) as content:
            content.extractall(tmp_path / "installed")
    program = (
        "import sys; sys.argv = ['registryctl', '--help']\n"
        # httpx uses these for a command of its own, if they are there.
        "sys.modules.update(dict.fromkeys(('click', 'pygments', 'rich')))\n"
        "from registryctl import cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "import sysconfig; packages = sysconfig.get_path('purelib')\n"
        "found = {name.partition('.')[0] for name, module in [*sys.modules.items()]"
        " if (getattr(module, '__file__', None) or '').startswith(packages)}\n"
        "print(*sorted(found))\n"
        "print(cli.__file__)"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "installed")}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    *_, imported, place = ran.stdout.splitlines()
    assert place.startswith(str(tmp_path))
    assert "httpx" in imported.split()
    assert set(imported.split()) - _LIGHT == set()
