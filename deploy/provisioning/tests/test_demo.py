"""A stack is the demo until the user sets something of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning.containers import NO_DEMO, Containers
from provisioning.demo import why_no_demo

OWN = {
    "BUSINESS_DATABASE_URL": "postgresql+psycopg2://me@db/mine",
    "WEIXIN_CORP_ID": "ww1",
    "WEIXIN_ROBOT_KEY": "key",
}


@pytest.mark.parametrize("given", [{}, {"DEMO": ""}, {"DEMO": "1"}, dict.fromkeys(OWN, ""), {"LOG_LEVEL": "INFO"}])
def test_without_settings_of_the_user_it_is_the_demo(given: dict[str, str]) -> None:
    assert why_no_demo(given) is None


@pytest.mark.parametrize("demo", ["0", "false", "No", " off "])
def test_demo_0_turns_it_off_in_any_spelling(demo: str) -> None:
    assert why_no_demo({"DEMO": demo}) == f"DEMO is {demo.strip()}"


@pytest.mark.parametrize("name", OWN)
def test_a_users_own_setting_turns_it_off_and_is_named_without_its_value(name: str) -> None:
    assert why_no_demo({name: OWN[name]}) == f"{name} is set"


def test_production_is_not_a_demo() -> None:
    assert why_no_demo({"ENVIRONMENT": "production"}) == "ENVIRONMENT is production"
    assert why_no_demo({"ENVIRONMENT": "development"}) is None


@pytest.mark.parametrize("given", [*({name: value} for name, value in OWN.items()), {"ENVIRONMENT": "production"}])
def test_demo_1_turns_it_on(given: dict[str, str]) -> None:
    assert why_no_demo({**given, "DEMO": "1"}) is None


def test_the_demos_containers_get_the_reason_why_they_idle_until_it_is_the_demo_again(tmp_path: Path) -> None:
    markers = [tmp_path / program / NO_DEMO for program in ("airflow", "wechat-simulator")]
    for marker in markers:
        marker.parent.mkdir()
    containers = Containers(tmp_path, {})
    containers.mark_demo("DEMO is 0")
    assert [marker.read_text(encoding="utf-8") for marker in markers] == ["DEMO is 0\n"] * 2
    containers.mark_demo(None)
    containers.mark_demo(None)
    assert not any(marker.exists() for marker in markers)


def test_the_command_is_among_those_of_the_one_shot_containers() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "provisioning", "--help"],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "make the stack the demo" in said.stdout
