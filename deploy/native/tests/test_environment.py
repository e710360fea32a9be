import stat
from dataclasses import replace
from pathlib import Path

import pytest

from localservers.ports import Ports
from native.config import StackConfig
from native.environment import StackEnvironment
from provisioning.environment_file import read


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig(tmp_path, tmp_path / ".run")


def test_generated_values_stay_and_only_the_owner_can_read_the_file(config: StackConfig) -> None:
    StackEnvironment(config, {}).write()
    first = read(config.environment_file)
    StackEnvironment(config, {}).write()
    assert read(config.environment_file) == first
    assert stat.S_IMODE(config.environment_file.stat().st_mode) == 0o600
    assert len(first["COLLECTOR_TOKEN"]) == 40


def test_the_users_values_take_precedence(config: StackConfig) -> None:
    given = {"SENTRY_DSN": "https://key@sentry.example/2", "BUSINESS_DATABASE_URL": "sqlite:///mine.db", "PATH": "/x"}
    variables = StackEnvironment(config, given).variables()
    assert variables["SENTRY_DSN"] == given["SENTRY_DSN"]
    assert variables["BUSINESS_DATABASE_URL"] == given["BUSINESS_DATABASE_URL"]
    assert "PATH" not in variables


@pytest.mark.parametrize("credential", ["WEIXIN_CORP_ID", "WEIXIN_ROBOT_KEY"])
def test_the_simulator_is_used_only_without_wechat_credentials(config: StackConfig, credential: str) -> None:
    simulated = StackEnvironment(config, {})
    assert simulated.simulates_weixin
    assert simulated.variables()["WEIXIN_BASE_URL"] == "http://127.0.0.1:8010"
    real = StackEnvironment(config, {credential: "given"})
    assert not real.simulates_weixin
    assert "WEIXIN_BASE_URL" not in real.variables()


def test_a_stack_without_demo_has_no_simulator(config: StackConfig) -> None:
    environment = StackEnvironment(replace(config, demo=False), {})
    assert not environment.simulates_weixin
    assert "WEIXIN_BASE_URL" not in environment.variables()


def test_the_mail_catcher_is_used_only_without_a_mail_server(config: StackConfig) -> None:
    caught = StackEnvironment(config, {"ALERT_EMAIL_TO": "me@example.test"}).variables()
    assert (caught["SMTP_URL"], caught["EMAIL_SIMULATED"]) == ("smtp://127.0.0.1:8025", "1")
    assert caught["ALERT_EMAIL_TO"] == "me@example.test"
    own = StackEnvironment(config, {"SMTP_URL": "smtp://mail.example.test"}).variables()
    assert (own["SMTP_URL"], "EMAIL_SIMULATED" in own) == ("smtp://mail.example.test", False)


def test_production_has_no_simulators(config: StackConfig) -> None:
    environment = StackEnvironment(config, {"ENVIRONMENT": "production"})
    variables = environment.variables()
    assert not environment.simulates_weixin
    assert not {"WEIXIN_BASE_URL", "WEIXIN_SIMULATED", "SMTP_URL", "EMAIL_SIMULATED"} & variables.keys()


def test_free_ports_are_all_different() -> None:
    ports = Ports.free()
    assert len(set(vars(ports).values())) == len(vars(ports))
    assert ports.in_use() == []
