import stat
from pathlib import Path

import pytest

from provisioning.containers import Containers
from provisioning.environment_file import parse, read, render, write
from provisioning.generated import simulates_email, simulates_weixin
from provisioning.variables import READ_BY

PORTS = {
    f"{name}_PORT": str(number)
    for number, name in enumerate(
        (
            *("API", "REGISTRY", "SYNC", "GATEWAY", "SIMULATOR"),
            *("AIRFLOW", "COLLECTOR", "PROMETHEUS", "REDIS", "POSTGRES"),
        ),
        start=9100,
    )
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The empty volumes as `setup` sees them."""
    for folder in (*READ_BY, "setup", "wechat-simulator", "secrets/postgres", "secrets/alertmanager"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_each_program_gets_exactly_its_own_variables(root: Path) -> None:
    Containers(root, PORTS).set_up()
    for program, names in READ_BY.items():
        assert set(read(root / program / "env")) == set(names)
        assert stat.S_IMODE((root / program / "env").stat().st_mode) == 0o600


def test_secrets_are_generated_once(root: Path) -> None:
    Containers(root, PORTS).set_up()
    first = read(root / "recommender-api" / "env")
    Containers(root, PORTS).set_up()
    assert read(root / "recommender-api" / "env") == first
    tokens = ("ADMIN_TOKEN", "EVENTS_TOKEN", "REGISTRY_REPLICA_TOKEN", "GATEWAY_TOKEN")
    assert len({first[name] for name in tokens}) == 4


def test_the_registrys_first_admin_token_is_given_to_the_registry_alone(root: Path) -> None:
    Containers(root, PORTS).set_up()
    given = {folder.name for folder in root.iterdir() if "REGISTRY_TOKEN" in read(folder / "env")}
    assert given == {"setup", "model-registry"}


def test_programs_and_servers_share_their_secrets(root: Path) -> None:
    Containers(root, PORTS).set_up()
    password = (root / "secrets" / "postgres" / "password").read_text(encoding="utf-8")
    assert f":{password}@postgres:5432/recsys" in read(root / "model-registry" / "env")["DATABASE_URL"]
    token = (root / "secrets" / "alertmanager" / "gateway-token").read_text(encoding="utf-8")
    assert read(root / "notification-gateway" / "env")["GATEWAY_TOKEN"] == token


def test_the_simulator_accepts_the_gateways_messages(root: Path) -> None:
    containers = Containers(root, PORTS)
    containers.set_up()
    containers.simulate_weixin()
    gateway, simulator = read(root / "notification-gateway" / "env"), read(root / "wechat-simulator" / "env")
    assert simulator.items() <= gateway.items()
    assert gateway["WEIXIN_BASE_URL"] == "http://wechat-simulator:8010"
    assert gateway["WEIXIN_SIMULATED"] == "1"


def test_the_gateway_is_in_production_unless_it_has_simulators(root: Path) -> None:
    containers = Containers(root, PORTS)
    containers.set_up()
    assert read(root / "notification-gateway" / "env")["ENVIRONMENT"] == "production"
    assert "simulator" not in dict(containers.pages())
    containers.simulate_email()
    gateway = read(root / "notification-gateway" / "env")
    assert gateway["ENVIRONMENT"] == "development"
    assert (gateway["SMTP_URL"], gateway["EMAIL_SIMULATED"]) == ("smtp://wechat-simulator:8025", "1")
    assert "WEIXIN_SIMULATED" not in gateway
    assert "WeChat and mail simulator" in dict(containers.pages())
    # Every start decides again: a setting of the user's own replaces the simulator.
    containers.set_up()
    assert read(root / "notification-gateway" / "env")["ENVIRONMENT"] == "production"
    assert "SMTP_URL" not in read(root / "notification-gateway" / "env")


@pytest.mark.parametrize(
    ("given", "weixin", "email"),
    [
        ({}, True, True),
        ({"WEIXIN_CORP_ID": "ww1"}, False, True),
        ({"WEIXIN_ROBOT_KEY": "key", "SMTP_URL": ""}, False, True),
        ({"SMTP_URL": "smtp://mail.example.test"}, True, False),
        ({"ENVIRONMENT": "production"}, False, False),
        ({"ENVIRONMENT": "development"}, True, True),
    ],
)
def test_the_users_own_settings_replace_simulators(given: dict[str, str], weixin: bool, email: bool) -> None:
    assert (simulates_weixin(given), simulates_email(given)) == (weixin, email)


def test_the_host_sees_the_published_ports(root: Path) -> None:
    containers = Containers(root, PORTS)
    containers.set_up()
    seen = containers.seen_from_host()
    assert seen["API_URL"] == f"http://127.0.0.1:{PORTS['API_PORT']}"
    assert f"@127.0.0.1:{PORTS['POSTGRES_PORT']}/business" in seen["BUSINESS_DATABASE_URL"]
    assert seen["REGISTRY_TOKEN"] == read(root / "model-registry" / "env")["REGISTRY_TOKEN"]
    assert not any("//redis:" in value or "@postgres:" in value for value in seen.values())


@pytest.mark.parametrize("value", ["plain", "with space", "it's", 'a "quoted" $value', "a=b", ""])
def test_a_value_is_read_as_it_was_written(tmp_path: Path, value: str) -> None:
    write(tmp_path / "env", render({"NAME": value}))
    assert read(tmp_path / "env") == {"NAME": value}
    assert parse("# comment\nNAME=1\n") == {"NAME": "1"}
